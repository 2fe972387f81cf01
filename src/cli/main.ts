#!/usr/bin/env node
/** The command line: `lopsided <command>`. What asks for the version alone need not wait for the rest to load. */
import { tooManyFiles } from "../errors.js";
import { version } from "../version.js";
import { watchStandardOutput } from "./streams.js";

watchStandardOutput();

const args = process.argv.slice(2);
if (args.length === 1 && (args[0] === "--version" || args[0] === "-V")) {
  process.stdout.write(`${version}\n`);
} else {
  try {
    const { runProgram } = await import("./program.js");
    await runProgram(args);
  } catch (error) {
    // The modules alone are some hundred files, of which the loader opens many at a time.
    const problem = tooManyFiles(error);
    if (problem === undefined) {
      throw error;
    }
    process.stderr.write(`lopsided: ${problem.message}\n`);
    process.exitCode = problem.exitCode;
  }
}
