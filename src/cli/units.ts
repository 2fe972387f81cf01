/** Numbers as people read them, see `units.ts`. */
export * from "../units.js";
