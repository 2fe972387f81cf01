/** The file of what each type does to each tensor: `plan` measures it, `explore` shows what follows from it. */
import { shownName } from "../bytes/address.js";
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue, readJson } from "../bytes/json.js";
import type { ByteSource } from "../bytes/source.js";
import { MalformedInputError, UsageError } from "../errors.js";
import { type TypeName, types } from "../quants/types.js";
import type { MeasuredModel } from "./sensitivity/file.js";
import type { ErrorCurve } from "./typical-curves.js";

/** What the file begins with. */
export const curvesFormat = "lopsided-error-curves-1";

/** Largest file that can be one: some hundred bytes for each tensor. */
const largestFile = 64 * 2 ** 20;

/** What was measured, and of what. */
export interface CurvesFile {
  /** Of Lopsided. */
  readonly version: string;
  /** Names of the model and of the importance matrix, if there was one. */
  readonly model: string;
  readonly imatrix: string | undefined;
  /** That of `quantize`. */
  readonly effort: string;
  /** See `modelFingerprint`. */
  readonly fingerprint: string;
  readonly curves: ReadonlyMap<string, ErrorCurve>;
}

/** The file's text. */
export function renderCurves({ version, model, imatrix, effort, fingerprint, curves }: CurvesFile): string {
  const file = {
    format: curvesFormat,
    version,
    model: shownName(model),
    imatrix: imatrix === undefined ? null : shownName(imatrix),
    effort,
    fingerprint,
    tensors: [...curves].map(([name, curve]) => ({ name, errors: Object.fromEntries(curve) })),
  };
  return `${JSON.stringify(file, undefined, 1)}\n`;
}

/**
 * Reads what `renderCurves` wrote: errors by type of each tensor that had a choice. Throws a MalformedInputError if it
 * is not such a file, a UsageError if it is of another model: if that has none of its tensors, or another fingerprint.
 */
export async function readCurves(
  source: ByteSource,
  model: MeasuredModel,
): Promise<ReadonlyMap<string, ErrorCurve>> {
  const path = source.name;
  const file = await readJson(source, largestFile);
  const malformed = (what: string) =>
    new MalformedInputError(`${path}: ${what}; write it with "lopsided plan --curves".`, { file: path });
  if (!isJsonObject(file) || file.get("format") !== curvesFormat) {
    throw malformed("is not a file of error curves");
  }
  const curves = curvesIn(file, malformed);
  const names = new Set(model.names);
  const strange = [...curves.keys()].find((name) => !names.has(name));
  const found = file.get("fingerprint");
  const isOther = model.fingerprints !== undefined && !model.fingerprints.some((one) => one === found);
  if (strange !== undefined || isOther) {
    const why = strange === undefined ? "its tensors have other weights" : `the model has no ${strange}`;
    throw new UsageError(
      `${path}: has the error curves of another model (${why}); measure this one with "lopsided plan --curves".`,
      { file: path },
    );
  }
  return curves;
}

function curvesIn(file: JsonObject, malformed: (what: string) => Error): Map<string, ErrorCurve> {
  const tensors = file.get("tensors");
  if (!isJsonArray(tensors) || tensors.length === 0) {
    throw malformed("has no list of tensors");
  }
  const curves = new Map<string, ErrorCurve>();
  for (const tensor of tensors) {
    const [name, errors] = isJsonObject(tensor) ? [tensor.get("name"), tensor.get("errors")] : [];
    if (typeof name !== "string" || !isJsonObject(errors)) {
      throw malformed("has a tensor without name or errors");
    }
    if (curves.has(name)) {
      throw malformed(`has ${name} twice`);
    }
    curves.set(name, curveOf(name, errors, malformed));
  }
  return curves;
}

function curveOf(name: string, errors: JsonObject, malformed: (what: string) => Error): ErrorCurve {
  const curve = new Map<TypeName, number>();
  for (const [type, error] of errors) {
    if (!isTypeName(type) || !isError(error)) {
      throw malformed(`has an error of ${name} that is of no type or no number`);
    }
    curve.set(type, error);
  }
  return curve;
}

function isTypeName(text: string): text is TypeName {
  return types.has(text as TypeName);
}

function isError(value: JsonValue): value is number {
  return typeof value === "number" && value >= 0 && Number.isFinite(value);
}
