/** What belongs together of the options around effort max. */
import { UsageError } from "../errors.js";
import type { Effort } from "../quants/effort.js";
import type { RequestedEffort, ResolvedQuantizeOptions } from "./quantize-command.js";

/** Throws a UsageError unless effort max and something about the inputs come together; `remedies` are other ways to it. */
export function checkEffort(
  {
    effort,
    moments,
    activations,
    calibration,
  }: Pick<ResolvedQuantizeOptions, "moments" | "activations"> & {
    effort?: RequestedEffort | undefined;
    calibration?: string | undefined;
  },
  remedies: readonly string[] = [],
): void {
  const given = moments !== undefined || activations !== undefined;
  if (effort === "max" && !given && calibration === undefined) {
    const ways = [...remedies, 'give files that "lopsided imatrix" collects as `activations` or `moments`'];
    throw new UsageError(`\`effort\` max needs to know the inputs: ${ways.join(", or ")}.`);
  }
  if (effort !== "max" && (given || calibration !== undefined)) {
    throw new UsageError(
      "`moments`, `activations` and `calibration` are used by `effort` max alone; add it, or leave them out.",
    );
  }
  if (given && calibration !== undefined) {
    throw new UsageError(
      "`calibration` collects what `moments` and `activations` would name; use one or the other.",
    );
  }
}

/** With moments the encoder's search is but a start; where there are none, it decides. */
export function encoderEffort({ effort = "default" }: { effort?: RequestedEffort | undefined }): Effort {
  return effort === "max" ? "fine" : effort;
}

/** Throws a UsageError if something is said of the run over a calibration text, and there is none. */
export function checkCalibration(options: ResolvedQuantizeOptions): void {
  const { calibration, keepActivations, calibrationTokens, imatrixOutput } = options;
  const given = Object.entries({ keepActivations, calibrationTokens, imatrixOutput });
  const [name] = given.find(([, value]) => value !== undefined) ?? [];
  if (calibration === undefined && name !== undefined) {
    throw new UsageError(`\`${name}\` is about a calibration text; name one with \`calibration\`.`);
  }
}
