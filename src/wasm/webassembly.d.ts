/** The part of WebAssembly's interface that is used here; neither `es2023` nor Node's types declare it. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
    static exports(module: Module): { readonly name: string }[];
  }
  class Memory {
    readonly buffer: ArrayBuffer;
    /** Adds pages of 65536 bytes; throws a RangeError if there is no room. */
    grow(pages: number): number;
  }
  class Instance {
    constructor(module: Module, imports?: object);
    readonly exports: Record<string, unknown>;
  }
  function validate(bytes: Uint8Array): boolean;
}
