/** Which types of JSON values schemas speak of. */
import type { JsonType, SchemaShape } from "./schema-shape.js";

/** The types that a schema without `type` must mean, from its keywords; undefined if it has none of a type. */
export function inferredTypes(shape: SchemaShape): readonly JsonType[] | undefined {
  const { limits } = shape;
  const types: JsonType[] = [];
  if (shape.properties.size > 0 || shape.required.size > 0 || shape.additionalProperties !== undefined) {
    types.push("object");
  }
  if (
    shape.items !== undefined ||
    shape.prefixItems ||
    limits.minItems !== undefined ||
    limits.maxItems !== undefined
  ) {
    types.push("array");
  }
  if (
    shape.pattern !== undefined ||
    shape.format !== undefined ||
    limits.minLength !== undefined ||
    limits.maxLength !== undefined
  ) {
    types.push("string");
  }
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = limits;
  if ([minimum, maximum, exclusiveMinimum, exclusiveMaximum].some((limit) => limit !== undefined)) {
    types.push("number");
  }
  return types.length === 0 ? undefined : types;
}

/** The names of a value's type: a whole number is an integer and a number. */
export function typeOfValue(value: unknown): readonly JsonType[] {
  if (value === null) {
    return ["null"];
  }
  if (Array.isArray(value)) {
    return ["array"];
  }
  switch (typeof value) {
    case "string":
      return ["string"];
    case "boolean":
      return ["boolean"];
    case "number":
      return Number.isInteger(value) ? ["integer", "number"] : ["number"];
    default:
      return ["object"];
  }
}
