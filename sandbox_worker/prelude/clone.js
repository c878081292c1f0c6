// structuredClone, after the HTML Standard: the value is first serialized to nodes, which may fail and changes
// nothing, then transferred buffers change hands, then the copy is made from the nodes.
(function (core) {
  "use strict";

  const {
    makeList, ownKeys, getOwnPropertyDescriptor, getPrototypeOf, defineProperty, identify, isProxy, dataProperty, mapGet, mapSet, mapHas, setHas,
    setAdd, mapEntries, mapIteratorNext, setValues, setIteratorNext, toDictionary, requireArguments, DOMException, objectKeys, hasOwn,
    typedArrayName, typedArrayBuffer, typedArrayByteOffset, typedArrayLength, arrayBufferByteLength, arrayBufferDetached, construct,
    MapConstructor, ErrorConstructor,
  } = core;

  const SetConstructor = Set, DateConstructor = Date, RegExpConstructor = RegExp, DataViewConstructor = DataView, ObjectConstructor = Object;
  const isResizable = core.getter(ArrayBuffer.prototype, "resizable");
  const maxByteLength = core.getter(ArrayBuffer.prototype, "maxByteLength");
  const ArrayBufferConstructor = ArrayBuffer;
  const views = core.create(null);
  for (const name of [
    "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array",
    "BigInt64Array", "BigUint64Array", "Float16Array", "Float32Array", "Float64Array",
  ]) if (globalThis[name] !== undefined) views[name] = globalThis[name];
  const errors = Object.assign(core.create(null), { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError });

  // Instances of these hold more than their properties, and cannot be copied.
  const uncloneable = new Set([Promise.prototype, WeakMap.prototype, WeakSet.prototype, ...iteratorPrototypes(), ...namespacePrototypes()]);

  function iteratorPrototypes() {
    const iterators = [[].values(), new Map().values(), new Set().values(), ""[Symbol.iterator](), "".matchAll(/a/g), [].values().map((x) => x)];
    return [...iterators.map(getPrototypeOf), getPrototypeOf(function* () {}).prototype, getPrototypeOf(async function* () {}).prototype];
  }

  function namespacePrototypes() {
    const namespaces = [Intl, globalThis.WebAssembly ?? {}];
    const members = namespaces.flatMap((namespace) => ownKeys(namespace).map((key) => namespace[key]));
    const weak = [globalThis.WeakRef, globalThis.FinalizationRegistry].filter((found) => found !== undefined);
    return [...members, ...weak].filter((member) => typeof member === "function" && member.prototype).map((member) => member.prototype);
  }

  const refuse = (what) => new DOMException(`${what} could not be cloned`, "DataCloneError");

  // -- serialize --------------------------------------------------------------------------------

  function serialize(value, memory) {
    if ((typeof value !== "object" && typeof value !== "function") || value === null) {
      if (typeof value === "symbol") throw refuse(core.symbolToString(value));
      return { __proto__: null, kind: "Primitive", made: value };
    }
    const known = mapGet(memory, value);
    if (known !== undefined) return known;
    if (isProxy(value)) throw refuse("a proxy");
    if (typeof value === "function") throw refuse(core.inspect(value, { __proto__: null, depth: -1 }));
    const kind = kindOf(value);
    const node = { __proto__: null, kind, made: undefined };
    mapSet(memory, value, node);
    (SERIALIZE[kind] ?? serializeNothing)(node, value, memory);
    return node;
  }

  function kindOf(value) {
    const kind = identify(value);
    if (kind === "Error" && core.domExceptionName(value) !== undefined) return "DOMException";
    if (kind === "Arguments") return "Object";
    if (kind === "Module" || kind === "Symbol" || kind === "WeakMap" || kind === "WeakSet") throw refuse(`a ${kind}`);
    if (kind === "Object" && isUncloneable(value)) throw refuse(core.inspect(value, { __proto__: null, depth: -1 }));
    return kind;
  }

  function isUncloneable(value) {
    let prototype = getPrototypeOf(value);
    for (let hops = 0; prototype !== null && hops < 100 && !isProxy(prototype); hops++) {
      if (setHas(uncloneable, prototype) || core.isPlatformPrototype(prototype)) return true;
      prototype = getPrototypeOf(prototype);
    }
    return false;
  }

  function serializeNothing(node, value) {
    node.value = value;
  }

  function serializeProperties(node, value, memory) {
    const keys = objectKeys(value);
    node.entries = makeList();
    for (let index = 0; index < keys.length; index++) {
      if (!hasOwn(value, keys[index])) continue; // a getter before it may have deleted it
      node.entries[node.entries.length] = { __proto__: null, key: keys[index], value: serialize(value[keys[index]], memory) };
    }
  }

  const SERIALIZE = {
    __proto__: null,
    Object: serializeProperties,
    Array(node, value, memory) {
      node.length = value.length;
      serializeProperties(node, value, memory);
    },
    Map(node, value, memory) {
      const entries = makeList();
      const iterator = mapEntries(value);
      for (let next = mapIteratorNext(iterator); !next.done; next = mapIteratorNext(iterator)) entries[entries.length] = next.value;
      node.entries = makeList();
      for (let index = 0; index < entries.length; index++) {
        node.entries[index] = { __proto__: null, key: serialize(entries[index][0], memory), value: serialize(entries[index][1], memory) };
      }
    },
    Set(node, value, memory) {
      const items = makeList();
      const iterator = setValues(value);
      for (let next = setIteratorNext(iterator); !next.done; next = setIteratorNext(iterator)) items[items.length] = next.value;
      node.entries = makeList();
      for (let index = 0; index < items.length; index++) node.entries[index] = serialize(items[index], memory);
    },
    Error(node, value, memory) {
      const name = value.name;
      node.name = name === undefined ? "Error" : `${name}`;
      const message = getOwnPropertyDescriptor(value, "message");
      node.message = message !== undefined && hasOwn(message, "value") ? `${message.value}` : undefined;
      const stack = dataProperty(value, "stack") ?? core.errorStack(value);
      node.stack = typeof stack === "string" ? stack : undefined;
      if (hasOwn(value, "cause")) node.cause = serialize(value.cause, memory);
    },
    ArrayBuffer(node, value) {
      if (arrayBufferDetached(value)) throw refuse("a detached ArrayBuffer");
      node.value = value;
    },
    TypedArray(node, value, memory) {
      node.name = typedArrayName(value);
      node.buffer = serialize(typedArrayBuffer(value), memory);
      node.offset = typedArrayByteOffset(value);
      node.length = typedArrayLength(value);
    },
    DataView(node, value, memory) {
      node.buffer = serialize(core.dataViewBuffer(value), memory);
      node.offset = core.dataViewByteOffset(value);
      node.length = core.dataViewByteLength(value);
    },
  };

  // -- deserialize ------------------------------------------------------------------------------

  function deserialize(node) {
    if (node.made === undefined && node.kind !== "Primitive") DESERIALIZE[node.kind](node);
    return node.made;
  }

  const add = (object, key, value) => {
    defineProperty(object, key, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
  };

  function deserializeProperties(node) {
    for (let index = 0; index < node.entries.length; index++) {
      add(node.made, node.entries[index].key, deserialize(node.entries[index].value));
    }
  }

  const hide = (object, key, value) => {
    defineProperty(object, key, { __proto__: null, value, writable: true, enumerable: false, configurable: true });
  };

  const boxed = (valueOf) => (node) => {
    node.made = ObjectConstructor(valueOf(node.value));
  };

  const DESERIALIZE = {
    __proto__: null,
    Boolean: boxed(core.booleanValueOf),
    Number: boxed(core.numberValueOf),
    BigInt: boxed(core.bigIntValueOf),
    String: boxed(core.stringValueOf),
    Date(node) {
      node.made = new DateConstructor(core.dateGetTime(node.value));
    },
    RegExp(node) {
      node.made = new RegExpConstructor(core.regExpSource(node.value), core.regExpFlags(node.value));
    },
    DOMException(node) {
      node.made = core.cloneDOMException(node.value);
    },
    Object(node) {
      node.made = {};
      deserializeProperties(node);
    },
    Array(node) {
      node.made = [];
      node.made.length = node.length;
      deserializeProperties(node);
    },
    Map(node) {
      node.made = new MapConstructor();
      for (let index = 0; index < node.entries.length; index++) {
        mapSet(node.made, deserialize(node.entries[index].key), deserialize(node.entries[index].value));
      }
    },
    Set(node) {
      node.made = new SetConstructor();
      for (let index = 0; index < node.entries.length; index++) setAdd(node.made, deserialize(node.entries[index]));
    },
    Error(node) {
      node.made = new (errors[node.name] ?? ErrorConstructor)();
      if (node.message !== undefined) hide(node.made, "message", node.message);
      if (node.stack !== undefined) hide(node.made, "stack", node.stack);
      if (node.cause !== undefined) hide(node.made, "cause", deserialize(node.cause));
    },
    ArrayBuffer(node) {
      if (isResizable(node.value)) {
        const length = arrayBufferByteLength(node.value);
        node.made = new ArrayBufferConstructor(length, { __proto__: null, maxByteLength: maxByteLength(node.value) });
        core.typedArraySet(new core.Uint8ArrayConstructor(node.made), new core.Uint8ArrayConstructor(node.value));
      } else node.made = core.typedArrayBuffer(core.typedArraySlice(new core.Uint8ArrayConstructor(node.value)));
    },
    TypedArray(node) {
      node.made = construct(views[node.name], [deserialize(node.buffer), node.offset, node.length]);
    },
    DataView(node) {
      node.made = new DataViewConstructor(deserialize(node.buffer), node.offset, node.length);
    },
  };

  // -- structuredClone --------------------------------------------------------------------------

  function takeTransfers(transfer, memory) {
    const nodes = makeList();
    if (transfer === undefined) return nodes;
    for (const buffer of transfer) {
      let isDetached;
      try {
        isDetached = arrayBufferDetached(buffer);
      } catch {
        throw new DOMException("only an ArrayBuffer can be transferred", "DataCloneError");
      }
      if (isDetached || mapHas(memory, buffer)) throw new DOMException("a buffer to transfer is detached, or given twice", "DataCloneError");
      const node = { __proto__: null, kind: "ArrayBuffer", value: buffer, made: undefined };
      mapSet(memory, buffer, node);
      nodes[nodes.length] = node;
    }
    return nodes;
  }

  const { structuredClone } = {
    structuredClone(value, options = undefined) {
      requireArguments(arguments.length, 1, "structuredClone");
      const { transfer } = toDictionary(options, "the second argument of structuredClone");
      const memory = new MapConstructor();
      const transfers = takeTransfers(transfer, memory);
      const node = serialize(value, memory);
      for (let index = 0; index < transfers.length; index++) {
        if (arrayBufferDetached(transfers[index].value)) throw new DOMException("a buffer to transfer is detached", "DataCloneError");
        transfers[index].made = core.arrayBufferTransfer(transfers[index].value);
      }
      return deserialize(node);
    },
  };
  core.define("structuredClone", structuredClone);
})
