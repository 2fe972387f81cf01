/** How much of what a model is measured on it was calibrated on. */
import { shareInSketch, type TextSketch } from "../text/text-sketch.js";
import type { EvaluatedTexts } from "./evaluated-texts.js";
import type { MeasuredTexts } from "./scores.js";

/** Says it of each text, as far as the sketch of the calibration text is known. */
export function withCalibration(
  measured: MeasuredTexts,
  sketch: TextSketch | undefined,
  evaluated: EvaluatedTexts,
): MeasuredTexts {
  if (sketch === undefined) {
    return measured;
  }
  const { scored, parts } = evaluated;
  const texts = measured.texts.map((text, at) => {
    const range = parts[at] ?? { first: 0, end: 0 };
    const calibratedOn = shareInSketch(sketch, evaluated, scored, range);
    return { ...text, ...(calibratedOn !== undefined && { calibratedOn }) };
  });
  return { ...measured, texts };
}
