/** What each type does to a tensor: relative errors by type, and the typical ones where there are no weights. */
import { type TypeName, typicalError } from "../quants/types.js";

/** Relative error by type; 0 for the tensor's own. */
export type ErrorCurve = ReadonlyMap<TypeName, number>;

/** Errors of normally distributed weights. */
export function typicalCurve(types: readonly TypeName[], own: TypeName): ErrorCurve {
  return new Map(types.map((type) => [type, type === own ? 0 : typicalError(type)]));
}
