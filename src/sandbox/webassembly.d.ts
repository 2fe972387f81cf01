/** What the sandbox needs of WebAssembly besides quants/kernels/webassembly.d.ts. */
declare namespace WebAssembly {
  namespace Module {
    function imports(
      module: Module,
    ): { readonly module: string; readonly name: string; readonly kind: string }[];
  }
}
