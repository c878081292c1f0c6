// Event, CustomEvent and EventTarget, after the DOM Standard. There is no tree:
// an event's path is its target alone, so it is only ever at its target.
(function (core) {
  "use strict";

  const { makeList, apply, dateNow, requireArguments, toDictionary, DOMException, TypeErrorConstructor } = core;

  const NONE = 0;
  const AT_TARGET = 2;

  // How this file reaches into the private fields of the classes below.
  let setTrusted, dispatch, isDispatching;

  class Event {
    #type;
    #bubbles;
    #cancelable;
    #composed;
    #target = null;
    #phase = NONE;
    #trusted = false;
    #canceled = false;
    #dispatching = false;
    #stopped = false;
    #stoppedImmediately = false;
    #passive = false;
    #createdAt = dateNow();

    constructor(type, eventInitDict = undefined) {
      requireArguments(arguments.length, 1, "Event");
      const options = toDictionary(eventInitDict, "the second argument of Event");
      this.#type = `${type}`;
      this.#bubbles = !!options.bubbles;
      this.#cancelable = !!options.cancelable;
      this.#composed = !!options.composed;
    }

    get type() { return this.#type; }
    get target() { return this.#target; }
    get srcElement() { return this.#target; }
    get currentTarget() { return this.#phase === NONE ? null : this.#target; }
    get eventPhase() { return this.#phase; }
    get bubbles() { return this.#bubbles; }
    get cancelable() { return this.#cancelable; }
    get composed() { return this.#composed; }
    get defaultPrevented() { return this.#canceled; }
    get isTrusted() { return this.#trusted; }
    get timeStamp() { return core.toTimeStamp(this.#createdAt); }
    get returnValue() { return !this.#canceled; }
    set returnValue(value) { if (!value) this.preventDefault(); }
    get cancelBubble() { return this.#stopped; }
    set cancelBubble(value) { if (value) this.#stopped = true; }

    composedPath() {
      return this.#phase === NONE ? [] : [this.#target];
    }

    stopPropagation() {
      this.#stopped = true;
    }

    stopImmediatePropagation() {
      this.#stopped = this.#stoppedImmediately = true;
    }

    preventDefault() {
      if (this.#cancelable && !this.#passive) this.#canceled = true;
    }

    initEvent(type, bubbles = false, cancelable = false) {
      requireArguments(arguments.length, 1, "initEvent");
      if (this.#dispatching) return;
      this.#type = `${type}`;
      this.#bubbles = !!bubbles;
      this.#cancelable = !!cancelable;
      this.#stopped = this.#stoppedImmediately = this.#canceled = this.#trusted = false;
      this.#target = null;
    }

    static {
      setTrusted = (event) => {
        event.#trusted = true;
      };
      isDispatching = (event) => event.#dispatching;
      // Runs the listeners, in the order they were added; `forEach` calls back with each one that still is one.
      dispatch = (event, target, forEach) => {
        event.#dispatching = true;
        event.#target = target;
        event.#phase = AT_TARGET;
        if (!event.#stopped) {
          forEach(event.#type, (listener) => {
            event.#passive = listener.passive;
            call(listener.callback, target, event);
            event.#passive = false;
            return !event.#stoppedImmediately;
          });
        }
        event.#phase = NONE;
        event.#dispatching = event.#stopped = event.#stoppedImmediately = false;
        return !event.#canceled;
      };
      core.inspectAs(Event.prototype, (event) => ({
        name: "Event",
        fields: {
          type: event.#type, defaultPrevented: event.#canceled, cancelable: event.#cancelable,
        },
      }));
    }
  }

  function call(callback, target, event) {
    try {
      if (typeof callback === "function") apply(callback, target, [event]);
      else {
        const { handleEvent } = callback;
        core.requireFunction(handleEvent, "handleEvent of an event listener");
        apply(handleEvent, callback, [event]);
      }
    } catch (error) {
      core.reportUncaught(error);
    }
  }

  class CustomEvent extends Event {
    #detail;

    constructor(type, eventInitDict = undefined) {
      requireArguments(arguments.length, 1, "CustomEvent");
      super(type, eventInitDict);
      this.#detail = eventInitDict?.detail ?? null;
    }

    get detail() { return this.#detail; }

    initCustomEvent(type, bubbles = false, cancelable = false, detail = null) {
      requireArguments(arguments.length, 1, "initCustomEvent");
      if (isDispatching(this)) return;
      this.initEvent(type, bubbles, cancelable);
      this.#detail = detail;
    }
  }

  // -- EventTarget ------------------------------------------------------------------------------

  class EventTarget {
    #listeners = makeList();

    addEventListener(type, callback, options = {}) {
      requireArguments(arguments.length, 2, "addEventListener");
      const listeners = this.#listeners;
      const listener = { __proto__: null, type: `${type}`, callback: toCallback(callback), capture: toCapture(options), once: false, passive: false, removed: false };
      let signal;
      if (typeof options === "object" && options !== null) {
        listener.once = !!options.once;
        listener.passive = !!options.passive;
        signal = options.signal;
        if (signal !== undefined && !core.isAbortSignal(signal)) throw new TypeErrorConstructor("the option signal is not an AbortSignal");
      }
      if (callback === null || callback === undefined || (signal !== undefined && core.isAborted(signal))) return;
      if (find(listeners, listener) >= 0) return;
      listeners[listeners.length] = listener;
      if (signal !== undefined) core.addAbortAlgorithm(signal, () => remove(listeners, listener));
    }

    removeEventListener(type, callback, options = {}) {
      requireArguments(arguments.length, 2, "removeEventListener");
      const listeners = this.#listeners;
      remove(listeners, { __proto__: null, type: `${type}`, callback: toCallback(callback), capture: toCapture(options) });
    }

    dispatchEvent(event) {
      requireArguments(arguments.length, 1, "dispatchEvent");
      const listeners = this.#listeners;
      if (isDispatching(event)) throw new DOMException("the event is being dispatched already", "InvalidStateError");
      return fire(this, listeners, event);
    }

    static {
      core.fireEvent = (target, event) => {
        setTrusted(event);
        return fire(target, target.#listeners, event);
      };
    }
  }

  function toCallback(callback) {
    if (callback === null || callback === undefined || typeof callback === "function" || typeof callback === "object") return callback;
    throw new TypeErrorConstructor("an event listener is a function or an object");
  }

  function toCapture(options) {
    if (typeof options === "object" && options !== null) return !!options.capture;
    return !!options;
  }

  function find(listeners, wanted) {
    for (let index = 0; index < listeners.length; index++) {
      const { type, callback, capture } = listeners[index];
      if (type === wanted.type && callback === wanted.callback && capture === wanted.capture) return index;
    }
    return -1;
  }

  function remove(listeners, wanted) {
    const at = find(listeners, wanted);
    if (at < 0) return;
    listeners[at].removed = true;
    for (let index = at; index < listeners.length - 1; index++) listeners[index] = listeners[index + 1];
    listeners.length--;
  }

  function fire(target, listeners, event) {
    return dispatch(event, target, (type, run) => {
      const now = makeList();
      // Capturing listeners come first, also at the target.
      for (let pass = 0; pass < 2; pass++) {
        for (let index = 0; index < listeners.length; index++) {
          if (listeners[index].type === type && listeners[index].capture === (pass === 0)) now[now.length] = listeners[index];
        }
      }
      for (let index = 0; index < now.length; index++) {
        const listener = now[index];
        if (listener.removed) continue;
        if (listener.once) remove(listeners, listener);
        if (!run(listener)) return;
      }
    });
  }

  // An `on…` attribute of a class: a getter and a setter whose listener keeps its place when it is exchanged.
  // `isInstance` says whether `this` is one.
  core.defineEventHandler = (constructor, type, isInstance) => {
    const handlers = new WeakMap(); // target → {value, listener}
    const name = `on${type}`;
    const check = (target) => {
      if (!isInstance(target)) throw new TypeErrorConstructor(`${name} was asked of something that is no ${constructor.name}`);
    };
    const accessor = {
      get [name]() {
        check(this);
        return core.weakMapGet(handlers, this)?.value ?? null;
      },
      set [name](value) {
        check(this);
        const usable = typeof value === "function" || (typeof value === "object" && value !== null) ? value : null;
        let handler = core.weakMapGet(handlers, this);
        if (handler === undefined) {
          handler = { __proto__: null, value: null, listener: null };
          handler.listener = (event) => {
            if (typeof handler.value !== "function") return;
            if (apply(handler.value, this, [event]) === false) preventDefault(event);
          };
          core.weakMapSet(handlers, this, handler);
        }
        if (usable === null && handler.value !== null) removeListener(this, type, handler.listener);
        if (usable !== null && handler.value === null) addListener(this, type, handler.listener);
        handler.value = usable;
      },
    };
    core.defineProperty(constructor.prototype, name, core.getOwnPropertyDescriptor(accessor, name));
  };
  const addListener = core.uncurry(EventTarget.prototype.addEventListener);
  const removeListener = core.uncurry(EventTarget.prototype.removeEventListener);
  const preventDefault = core.uncurry(Event.prototype.preventDefault);

  core.Event = Event;
  core.EventTarget = EventTarget;

  core.defineConstants(Event, { NONE, CAPTURING_PHASE: 1, AT_TARGET, BUBBLING_PHASE: 3 });
  core.defineClass(Event);
  core.defineClass(CustomEvent);
  core.defineClass(EventTarget);
})
