/** How each command's result is shown, by the command's name; loaded when the command is called. */
import type { View } from "./view.js";

/** Each view takes the result of its own command. */
export const views: Readonly<Record<string, () => Promise<View<never>>>> = {
  inspect: async () => (await import("./inspect.js")).view,
  imatrix: async () => (await import("./imatrix.js")).view,
  convert: async () => (await import("./convert.js")).view,
  prune: async () => (await import("./prune.js")).view,
  scales: async () => (await import("./scales.js")).view,
  relayout: async () => (await import("./relayout.js")).view,
  verify: async () => (await import("./verify.js")).view,
  perplexity: async () => (await import("./perplexity.js")).view,
  compare: async () => (await import("./compare.js")).view,
  check: async () => (await import("./check.js")).view,
  publish: async () => (await import("./publish.js")).view,
  card: async () => (await import("./document.js")).view,
  report: async () => (await import("./document.js")).view,
  quantize: async () => (await import("./quantize.js")).view,
  explore: async () => (await import("./explore.js")).view,
  plan: async () => (await import("./plan.js")).view,
  sensitivity: async () => (await import("./sensitivity.js")).view,
  make: async () => (await import("./make.js")).view,
  demo: async () => (await import("./make.js")).view,
  chat: async () => (await import("./chat.js")).view,
  worker: async () => (await import("./worker.js")).view,
  queue: async () => (await import("./queue.js")).view,
  serve: async () => (await import("./serve.js")).view,
  generate: async () => (await import("./generate.js")).view,
  fit: async () => (await import("./fit.js")).view,
};
