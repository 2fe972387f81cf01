/** Whether schemas visibly exclude each other, which `oneOf` needs. */
import { allTypes, isEqual, type JsonType, type SchemaReader, type SchemaShape } from "./schema-shape.js";
import { inferredTypes, typeOfValue } from "./schema-types.js";

/** Properties within properties that are looked at. */
const maxDepth = 4;

/** Whether no text that is written for one of the shapes is valid for the other. False if that is not visible. */
export function areDisjoint(a: SchemaShape, b: SchemaShape, reader: SchemaReader, depth = 0): boolean {
  return excludes(a, b, reader, depth) && excludes(b, a, reader, depth);
}

/** Whether nothing that is written for `written` is valid for `other`. */
function excludes(written: SchemaShape, other: SchemaShape, reader: SchemaReader, depth: number): boolean {
  const valid = new Set(other.types ?? allTypes);
  const isValid = (type: JsonType) => valid.has(type) || (type === "integer" && valid.has("number"));
  if (written.values) {
    return written.values.every(
      (value) =>
        (other.values && !other.values.some((otherValue) => isEqual(value, otherValue))) ||
        !typeOfValue(value).some(isValid),
    );
  }
  const types: readonly JsonType[] = [...(written.types ?? inferredTypes(written) ?? allTypes)];
  if (other.values) {
    const names = new Set(types);
    return !other.values.some((value) => typeOfValue(value).some((type) => names.has(type)));
  }
  // A number may happen to be an integer.
  const shared = types.filter((type) => isValid(type) || (type === "number" && valid.has("integer")));
  return shared.every((type) => type === "object" && objectsExclude(written, other, reader, depth));
}

function objectsExclude(
  written: SchemaShape,
  other: SchemaShape,
  reader: SchemaReader,
  depth: number,
): boolean {
  const isClosed =
    written.additionalProperties === false ||
    (written.additionalProperties === undefined && written.properties.size > 0);
  const isMissing = (name: string) =>
    isClosed && !written.properties.has(name) && !written.required.has(name);
  if ([...other.required].some(isMissing)) {
    return true;
  }
  return [...written.required].some((name) => {
    const [own, theirs] = [written.properties.get(name), other.properties.get(name)];
    if (own === undefined || theirs === undefined || depth >= maxDepth) {
      return false;
    }
    const [ownShape, theirShape] = [reader.shape(own), reader.shape(theirs)];
    const isPlain = (shape: SchemaShape | undefined) => !shape || shape.choices.length === 0;
    return (
      isPlain(ownShape) &&
      isPlain(theirShape) &&
      (!ownShape || !theirShape || areDisjoint(ownShape, theirShape, reader, depth + 1))
    );
  });
}
