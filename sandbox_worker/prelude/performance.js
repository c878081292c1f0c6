// performance.now, timeOrigin and toJSON, after High Resolution Time; and navigator.userAgent.
(function (core, host) {
  "use strict";

  const { numberOf, dateNow, TypeErrorConstructor } = core;
  const internal = {}; // given to the constructors, which scripts may not call

  // Worked out at the first use: the prelude is evaluated long before the execution starts.
  let origin;
  const timeOrigin = () => (origin ??= dateNow() - numberOf(host.monotonicMs()));

  core.toTimeStamp = (date) => {
    const stamp = date - timeOrigin();
    return stamp > 0 ? stamp : 0;
  };

  class Performance extends core.EventTarget {
    #brand;

    constructor(token = undefined) {
      if (token !== internal) throw new TypeErrorConstructor("Illegal constructor");
      super();
    }

    get timeOrigin() {
      this.#brand;
      return timeOrigin();
    }

    now() {
      this.#brand;
      return numberOf(host.monotonicMs());
    }

    toJSON() {
      this.#brand;
      return { timeOrigin: timeOrigin() };
    }
  }

  class Navigator {
    #brand;

    constructor(token = undefined) {
      if (token !== internal) throw new TypeErrorConstructor("Illegal constructor");
    }

    get userAgent() {
      this.#brand;
      return "jsruntime";
    }
  }

  core.defineClass(Performance);
  core.defineClass(Navigator);
  core.define("performance", new Performance(internal));
  core.define("navigator", new Navigator(internal));
})
