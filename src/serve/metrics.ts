/** What the server counts, for Prometheus. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { FairQueue } from "./fair-queue.js";

const secondsBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250];

export class Metrics {
  readonly #registry = new Registry();
  readonly requests = this.#counter("requests_total", "Requests answered", ["route", "status"]);
  readonly promptTokens = this.#counter("prompt_tokens_total", "Tokens of prompts");
  readonly cachedTokens = this.#counter(
    "cached_prompt_tokens_total",
    "Tokens of prompts that were computed before",
  );
  readonly completionTokens = this.#counter("completion_tokens_total", "Tokens of answers");
  readonly crashes = this.#counter("engine_crashes_total", "Times that the model's process died");
  readonly queueSeconds = this.#histogram("queue_seconds", "Time that answers waited for their turn");
  readonly firstTokenSeconds = this.#histogram(
    "first_token_seconds",
    "Time from a request to the first token",
  );
  readonly answerSeconds = this.#histogram("answer_seconds", "Time from a request to the end of its answer");

  constructor(queue: FairQueue) {
    this.#gauge("answers_running", "Answers being written, or about to be", () => queue.running);
    this.#gauge("answers_waiting", "Answers in the queue", () => queue.waiting);
    this.#gauge("memory_bytes", "Resident memory of the server's process", () => process.memoryUsage.rss());
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All figures in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #counter<T extends string = never>(name: string, help: string, labelNames: T[] = []): Counter<T> {
    return new Counter({ name: `lopsided_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #histogram(name: string, help: string): Histogram {
    return new Histogram({
      name: `lopsided_${name}`,
      help,
      buckets: secondsBuckets,
      registers: [this.#registry],
    });
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name: `lopsided_${name}`,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read());
      },
    });
  }
}
