/** What a coordinator counts, for Prometheus. */
import { Counter, Gauge, Registry } from "prom-client";

/** Figures that are asked for when they are wanted. */
export interface QueueGauges {
  readonly waiting: () => number;
  readonly workers: () => number;
  readonly threads: () => number;
}

export class QueueMetrics {
  readonly #registry = new Registry();
  readonly jobs = this.#counter("jobs_total", "Jobs whose results were taken", ["worker"]);
  readonly weights = this.#counter("weights_total", "Weights in encoded slices", ["worker"]);
  readonly sentBytes = this.#counter("sent_bytes_total", "Bytes of data sent to workers");
  readonly receivedBytes = this.#counter("received_bytes_total", "Bytes of results received");
  readonly refusals = this.#counter("refused_requests_total", "Requests with another token");
  readonly repeats = this.#counter("repeated_jobs_total", "Jobs that were put on the queue again");

  constructor({ waiting, workers, threads }: QueueGauges) {
    this.#gauge("jobs_outstanding", "Jobs on the queue or in work", waiting);
    this.#gauge("workers", "Workers that could do this coordinator's jobs", workers);
    this.#gauge("worker_threads", "Threads of these workers", threads);
    this.#gauge("memory_bytes", "Resident memory of the coordinator", () => process.memoryUsage.rss());
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All figures in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #counter<T extends string = never>(name: string, help: string, labelNames: T[] = []): Counter<T> {
    return new Counter({ name: `lopsided_queue_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name: `lopsided_queue_${name}`,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read());
      },
    });
  }
}
