/** The module: what the files of this folder export, in one. A file that is not named here is not compiled. */
export * from "./tables";
export * from "./measure";

/** First byte behind the tables of all files; from here on memory belongs to the host. */
export function heap_base(): usize {
  return __heap_base;
}
