/** What the sandbox needs of WebAssembly besides wasm/webassembly.d.ts. */
declare namespace WebAssembly {
  namespace Module {
    function imports(
      module: Module,
    ): { readonly module: string; readonly name: string; readonly kind: string }[];
  }
}
