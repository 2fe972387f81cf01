#!/usr/bin/env node
/** The command line: `lopsided <command>`. What asks for the version alone need not wait for the rest to load. */
import { version } from "../version.js";
import { watchStandardOutput } from "./streams.js";

watchStandardOutput();

const args = process.argv.slice(2);
if (args.length === 1 && (args[0] === "--version" || args[0] === "-V")) {
  process.stdout.write(`${version}\n`);
} else {
  const { runProgram } = await import("./program.js");
  await runProgram(args);
}
