/** What the sandbox needs of WebAssembly besides quants/kernels/webassembly.d.ts. */
declare namespace WebAssembly {
  function compile(bytes: Uint8Array): Promise<Module>;
  /** Of bytes the result is `{ module, instance }`, of a module an instance. */
  let instantiate: (source: Uint8Array | Module, imports?: object) => Promise<unknown>;
}
