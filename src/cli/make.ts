/** What `make` and `demo` print. */
import type { MakeResult } from "../make/make.js";
import type { StageEvent } from "../make/stages.js";
import { summarize } from "../model/summary.js";
import { formatBytes, formatDuration } from "../units.js";
import { commandLine } from "./command-line.js";
import { comparisonTable } from "./comparison-table.js";
import { rolesTable, sizeLine } from "./roles-table.js";
import type { View } from "./view.js";

export const view: View<MakeResult> = {
  lines: describe,
  more: ({ say }) => ({ command: commandLine(), onStage: (event: StageEvent) => sayStage(event, say) }),
};

/** One line for each stage, when it is over. */
function sayStage(event: StageEvent, say: (line: string) => void): void {
  if (event.event === "skipped") {
    say(`${event.stage}: nothing changed`);
  } else if (event.event === "finished") {
    say(`${event.stage}: done in ${formatDuration(event.seconds)}`);
  } else if (event.event === "chosen") {
    say(`${event.stage}: ${event.what}`);
  } else if (event.because !== undefined) {
    say(`${event.stage}: done again, because ${event.because}`);
  }
}

/** The result for people: what is in the model, how it compares, where everything is. */
function describe(result: MakeResult): readonly string[] {
  const { output, model, quantize, evaluate, seconds } = result;
  const summary = summarize(quantize.tensors.map((tensor) => ({ ...tensor, type: tensor.to })));
  return [
    ...rolesTable(summary),
    "",
    sizeLine(summary),
    ...(evaluate === undefined ? [] : ["", ...comparisonTable(result.source, evaluate)]),
    "",
    `${model}: ${formatBytes(quantize.bytes)}`,
    `Everything is in ${output}; ${formatDuration(seconds)} in all.`,
  ];
}
