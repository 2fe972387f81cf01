/** The contract of `serve`. */
import { z } from "zod";
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { answered, moot } from "../contract/pasted.js";
import { anyText, choice, list, orNone, parsed, text, wholeNumber, yesNo } from "../contract/values.js";
import { UsageError } from "../errors.js";
import { generatorOptions, samplingOptions } from "../generate/generator-options.js";

/** Flags of llama-server that people paste. */
const pasted = {
  jinja: moot("chat templates are always used"),
  metrics: moot("/metrics is always there"),
  contBatching: moot("batching is always continuous", { aliases: ["-cb"] }),
  flashAttn: option({
    ...moot("llama.cpp decides", { aliases: ["-fa"], value: "[when]" }),
    schema: z.union([z.literal(true), parsed(checkFlashAttention)]),
  }),
  hfRepo: answered("serve downloads nothing; download the GGUF file and name it.", {
    aliases: ["-hf", "-hfr"],
    value: "<repository>",
  }),
  mmproj: answered("only text can be read; leave it out.", { value: "<file>" }),
  lora: answered("adapters are not supported; use a model that it is merged into.", { value: "<file>" }),
  modelDraft: answered("drafts are not supported; leave it out.", { aliases: ["-md"], value: "<file>" }),
} as const;

function checkFlashAttention(when: string): void {
  if (["off", "0", "false"].includes(when)) {
    throw new UsageError("llama.cpp decides about flash attention; leave it out.");
  }
}

export const serveCommand = defineCommand({
  name: "serve",
  summary: "OpenAI-compatible server for a model, with a chat page at /.",
  options: {
    ...generatorOptions,
    parallel: option({
      aliases: ["-np"],
      value: "<n>",
      schema: wholeNumber(1),
      about: "concurrent requests (slots), also -np",
      default: 4,
    }),
    host: option({ value: "<address>", schema: text, about: "address to listen on", default: "127.0.0.1" }),
    port: option({
      value: "<n>",
      schema: wholeNumber(0, 65_535),
      about: "port to listen on; 0 for any that is free",
      default: 8080,
    }),
    apiKey: option({
      value: "<key>",
      schema: orNone(anyText),
      about: "key that clients must send",
      negated: "let everyone use the server, also when --host lets other machines reach it",
      environment: "LLAMA_API_KEY",
    }),
    allowHost: option({
      value: "<names...>",
      schema: list(text),
      about: "further names that requests may be for (host.docker.internal); * for all",
    }),
    allowOrigin: option({
      value: "<origins...>",
      schema: list(text),
      about: "web pages that may use the server (https://app.example, vscode-webview://*); * for all",
    }),
    alias: option({
      short: "-a",
      value: "<name>",
      schema: text,
      about: "name under which the model is offered",
      unset: "its file's",
    }),
    pooling: option({
      schema: choice(["mean", "cls", "last"]),
      about: "how embeddings are made",
      unset: "as the model says",
    }),
    queue: option({
      value: "<n>",
      schema: wholeNumber(0),
      about: "request queue limit; beyond it requests are refused (429)",
      default: 256,
    }),
    ...samplingOptions,
    temp: { ...samplingOptions.temp, about: "temperature of requests that name none; so for the next four" },
    mmap: option({ schema: yesNo, about: "read the model into memory instead of mapping it", default: true }),
    ...pasted,
  },
});

export type ServeOptions = OptionsOf<typeof serveCommand>;
