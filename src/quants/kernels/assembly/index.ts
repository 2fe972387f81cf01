// The module: what the files named here export, in one. A file that is not named is not compiled.
export * from "./tables";
export * from "./measure";
export * from "./decode/float";
export * from "./decode/legacy";
export * from "./decode/k-quants";
export * from "./decode/iq1";
export * from "./decode/iq2";
export * from "./decode/iq3";
export * from "./decode/iq4";
export * from "./decode/rare";
export * from "./encode/float";
export * from "./encode/q8_0";
export * from "./encode/scaled";
export * from "./encode/legacy";
export * from "./encode/k-scale";
export * from "./encode/k-range";
export { encode_q6_k } from "./encode/q6-k";
export * from "./encode/four-bit-float";
export * from "./encode/ternary";
export * from "./encode/grid";
export { encode_iq1_m, encode_iq1_s } from "./encode/iq1";

/** First byte behind the tables of all files; from here on memory belongs to the host. */
export function heap_base(): usize {
  return __heap_base;
}
