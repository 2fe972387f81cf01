/** A thread that helps to fit scales: takes parts of steps. */
import { type ScaleStep, ScaleSteps } from "../quants/output-aware/scale-steps.js";
import { serveTeam } from "../threads/serve-team.js";

serveTeam((module: WebAssembly.Module | undefined) => {
  const steps = new ScaleSteps(module);
  return (step: ScaleStep) => steps.take(step);
});
