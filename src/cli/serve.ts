import { once } from "node:events";
import { type Command, Option } from "commander";
import type { Pooling } from "../generate/embedder.js";
import { type RunningServer, serve } from "../serve/server.js";
import { wholeNumber } from "./arguments.js";
import { addGeneratorOptions, type GeneratorFlags, generatorOptions } from "./generator-options.js";
import {
  addLlamaServerFlags,
  checkLlamaServerFlags,
  defaultSampling,
  type LlamaServerFlags,
} from "./llama-server-flags.js";
import { runCommand } from "./run.js";

interface Flags extends GeneratorFlags, LlamaServerFlags {
  parallel: number;
  host: string;
  port: number;
  /** False for --no-api-key. */
  apiKey?: string | false;
  allowHost?: string[];
  allowOrigin?: string[];
  alias?: string;
  pooling?: Pooling;
  queue: number;
  json?: boolean;
}

export function addServe(program: Command): void {
  addLlamaServerFlags(addGeneratorOptions(program.command("serve")))
    .description("OpenAI-compatible server for a model, with a chat page at /.")
    .option(
      "-c, --ctx-size <n>",
      "tokens of context, divided among the slots; 0: up to 4096 each",
      wholeNumber(0),
      0,
    )
    .option("--parallel <n>", "slots: answers written at once, also -np", wholeNumber(1), 4)
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <n>", "port to listen on; 0 for any that is free", wholeNumber(0), 8080)
    .addOption(new Option("--api-key <key>", "key that clients must send").env("LLAMA_API_KEY"))
    .option("--no-api-key", "let everyone use the server, also when --host lets other machines reach it")
    .option("--allow-host <names...>", "further names that requests may be for (host.docker.internal)")
    .option(
      "--allow-origin <origins...>",
      "web pages that may use the server (https://app.example, vscode-webview://*)",
    )
    .option("-a, --alias <name>", "name under which the model is offered (default: its file's)")
    .addOption(
      new Option("--pooling <type>", "how embeddings are made (default: as the model says)").choices([
        "mean",
        "cls",
        "last",
      ]),
    )
    .option("--queue <n>", "answers that may wait for a slot; more are refused", wholeNumber(0), 256)
    .option("--json", "print one JSON object when the server listens")
    .action((model: string | undefined, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal, say, print }) => {
        const { host, port, apiKey, alias, pooling, queue, allowHost, allowOrigin } = flags;
        checkLlamaServerFlags(flags);
        const options = generatorOptions(model, flags, flags.parallel, onProgress);
        const server = await serve({
          ...options,
          model: { ...options.model, ...(flags.mmap === false ? { memoryMap: false } : {}) },
          sampling: defaultSampling(flags),
          host,
          port,
          apiKey: apiKey === false ? undefined : apiKey,
          withoutKey: apiKey === false,
          allowHosts: allowHost,
          allowOrigins: allowOrigin,
          alias,
          pooling,
          queueLength: queue,
          signal,
          onWarning: (message) => say(`warning: ${message}`),
        });
        print(await describe(server));
        if (!signal.aborted) {
          await once(signal, "abort");
        }
        say("finishing the running answers; interrupt again to stop at once");
        await server.stop();
        return undefined;
      }),
    );
}

async function describe({ url, host, port, modelId, generator }: RunningServer) {
  const contextLength = await generator.contextLength();
  const { slots } = generator;
  return {
    json: { url, host, port, model: modelId, slots, contextLength, processId: process.pid },
    text: `${modelId} at ${url} (API under ${url}/v1, ${slots} answers at once, ${contextLength} tokens each)`,
  };
}
