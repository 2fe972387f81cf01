#!/usr/bin/env node
/** The command line: `lopsided <command>`. One file per command; this one puts them together. */
import { Command, CommanderError } from "commander";
import { version } from "../version.js";
import { addCard } from "./card.js";
import { addChat } from "./chat.js";
import { addCheck } from "./check.js";
import { addConvert } from "./convert.js";
import { addDemo } from "./demo.js";
import { addFit } from "./fit.js";
import { addImatrix } from "./imatrix.js";
import { addInspect } from "./inspect.js";
import { addMake } from "./make.js";
import { addPerplexity } from "./perplexity.js";
import { addPlan } from "./plan.js";
import { addPublish } from "./publish.js";
import { addQuantize } from "./quantize.js";
import { addReport } from "./report.js";
import { addSensitivity } from "./sensitivity.js";
import { addServe } from "./serve.js";
import { withLongOptions } from "./short-options.js";
import { watchStandardOutput } from "./streams.js";
import { addVerify } from "./verify.js";

const program = new Command("lopsided")
  .description("Asymmetric, expert-aware GGUF quantization for mixture-of-experts language models.")
  .version(version)
  .showHelpAfterError("(see --help)")
  .exitOverride()
  .configureHelp({ showGlobalOptions: true });

for (const add of [
  addInspect,
  addConvert,
  addImatrix,
  addQuantize,
  addVerify,
  addPerplexity,
  addCheck,
  addFit,
  addSensitivity,
  addPlan,
  addMake,
  addPublish,
  addChat,
  addServe,
  addCard,
  addReport,
  addDemo,
]) {
  add(program);
}
for (const command of program.commands) {
  command.exitOverride();
}

watchStandardOutput();
try {
  await program.parseAsync(withLongOptions(process.argv));
} catch (error) {
  if (!(error instanceof CommanderError)) {
    throw error;
  }
  // Commander has printed its message; help and version are no failures.
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
