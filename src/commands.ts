/** All commands: their contracts, each with the function that carries it out, loaded when it is called. */

import { planCommand } from "./budget/plan-command.js";
import { sensitivityCommand } from "./budget/sensitivity/sensitivity-command.js";
import { compareCommand } from "./compare/compare-command.js";
import type { Command, CommandContract } from "./contract/command.js";
import type { Given, Options } from "./contract/option.js";
import { generateCommand } from "./corpus/generate-command.js";
import { perplexityCommand } from "./evaluate/perplexity-command.js";
import { exploreCommand } from "./explore/explore-command.js";
import { chatCommand } from "./generate/chat-command.js";
import { imatrixCommand } from "./imatrix/imatrix-command.js";
import { demoCommand, makeCommand } from "./make/make-command.js";
import { publishCommand } from "./make/publish-command.js";
import { fitCommand } from "./memory/fit-command.js";
import { inspectCommand } from "./model/inspect-command.js";
import { convertCommand } from "./quantize/convert-command.js";
import { pruneCommand } from "./quantize/prune-command.js";
import { quantizeCommand } from "./quantize/quantize-command.js";
import { relayoutCommand } from "./quantize/relayout-command.js";
import { verifyCommand } from "./quantize/verify-command.js";
import { queueCommand } from "./queue/queue-command.js";
import { cardCommand, reportCommand } from "./report/card-command.js";
import { scalesCommand } from "./scales/scales-command.js";
import { serveCommand } from "./serve/serve-command.js";
import { checkCommand } from "./tasks/check-command.js";
import { workerCommand } from "./worker/worker-command.js";

/** A contract that can be carried out. */
export interface RunnableCommand {
  readonly command: CommandContract;
  /** The library's function of the same name, which checks what it is given. */
  readonly load: () => Promise<(given: Readonly<Record<string, unknown>>) => Promise<unknown>>;
}

/** In the order in which help lists them. */
export const commands: readonly RunnableCommand[] = [
  runnable(inspectCommand, async () => (await import("./model/inspect.js")).inspect),
  runnable(convertCommand, async () => (await import("./quantize/convert.js")).convert),
  runnable(generateCommand, async () => (await import("./corpus/generate.js")).generate),
  runnable(imatrixCommand, async () => (await import("./imatrix/compute.js")).imatrix),
  runnable(pruneCommand, async () => (await import("./quantize/prune.js")).prune),
  runnable(quantizeCommand, async () => (await import("./quantize/quantize.js")).quantize),
  runnable(scalesCommand, async () => (await import("./scales/scales.js")).scales),
  runnable(relayoutCommand, async () => (await import("./quantize/relayout.js")).relayout),
  runnable(verifyCommand, async () => (await import("./quantize/verify.js")).verify),
  runnable(perplexityCommand, async () => (await import("./evaluate/measure.js")).perplexity),
  runnable(compareCommand, async () => (await import("./compare/compare.js")).compare),
  runnable(checkCommand, async () => (await import("./tasks/check.js")).check),
  runnable(fitCommand, async () => (await import("./memory/fit.js")).fit),
  runnable(sensitivityCommand, async () => (await import("./budget/sensitivity/measure.js")).sensitivity),
  runnable(planCommand, async () => (await import("./budget/plan.js")).plan),
  runnable(exploreCommand, async () => (await import("./explore/explore.js")).explore),
  runnable(makeCommand, async () => (await import("./make/make.js")).make),
  runnable(publishCommand, async () => (await import("./make/publish.js")).publish),
  runnable(chatCommand, async () => (await import("./generate/chat.js")).chat),
  runnable(serveCommand, async () => (await import("./serve/server.js")).serve),
  runnable(workerCommand, async () => (await import("./worker/worker.js")).worker),
  runnable(queueCommand, async () => (await import("./queue/list.js")).queue),
  runnable(cardCommand, async () => (await import("./report/write.js")).card),
  runnable(reportCommand, async () => (await import("./report/write.js")).report),
  runnable(demoCommand, async () => (await import("./make/demo.js")).demo),
];

/** Sees to it that the function takes the contract's options; they are checked again when it is called. */
function runnable<Rows extends Options>(
  command: Command<Rows>,
  load: () => Promise<(given: Given<Rows>) => Promise<unknown>>,
): RunnableCommand {
  return { command, load: load as RunnableCommand["load"] };
}
