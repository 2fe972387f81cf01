/** One progress for all stages: how much of the whole is done, and how long the rest will take. */
import type { OnProgress, Progress } from "../progress.js";
import type { StageEvent } from "./stages.js";

export interface PlannedStage {
  readonly name: string;
  /** How long it takes, in seconds of some machine: only the ratios between stages matter. */
  readonly weight: number;
}

/** Steps inside a stage that are over in no time and say nothing about the stage's progress. */
const preludes: ReadonlySet<string> = new Set(["load"]);

/** How much of the whole the guessed speed counts for, beside what was seen of this machine. */
const trust = 0.02;

export class MakeProgress {
  readonly #weights: Map<string, number>;
  readonly #total: number;
  /** Weight of the stages that are over, and of those that were done in this run. */
  #over = 0;
  #worked = 0;
  #workedSeconds = 0;
  #current: { readonly name: string; readonly weight: number; fraction: number; begun: number } | undefined;
  #number = 0;

  readonly #emit: OnProgress;
  readonly #now: () => number;

  constructor(
    stages: readonly PlannedStage[],
    emit: OnProgress,
    now: () => number = () => performance.now() / 1000,
  ) {
    this.#emit = emit;
    this.#now = now;
    this.#weights = new Map(stages.map(({ name, weight }) => [name, weight]));
    this.#total = stages.reduce((sum, { weight }) => sum + weight, 0);
  }

  /** Takes note of a stage's begin or end. */
  stage(event: StageEvent): void {
    if (event.event === "chosen") {
      return;
    }
    const weight = this.#weights.get(event.stage) ?? 0;
    if (event.event === "begins") {
      this.#number++;
      this.#current = { name: event.stage, weight, fraction: 0, begun: this.#now() };
    } else {
      if (event.event === "skipped") {
        this.#number++;
      } else {
        this.#takeStock(weight);
      }
      this.#over += weight;
      this.#current = undefined;
    }
    this.#report(event.stage);
  }

  /** Takes note of how far the stage under way is. */
  readonly update = ({ step, done, total, unit, detail }: Progress): void => {
    const current = this.#current;
    if (current === undefined) {
      return;
    }
    const fraction = preludes.has(step) || total <= 0 ? 0 : Math.min(1, done / total);
    current.fraction = Math.max(current.fraction, fraction);
    const what = step === current.name ? step : `${current.name}: ${step}`;
    this.#report(`${what} ${countOf(done, total, unit)}${detail === undefined ? "" : `, ${detail}`}`);
  };

  #takeStock(weight: number): void {
    if (this.#current === undefined) {
      return;
    }
    this.#worked += weight;
    this.#workedSeconds += this.#now() - this.#current.begun;
  }

  #report(detail: string): void {
    const current = this.#current;
    const total = this.#total;
    const over = this.#over;
    const underWay = (current?.weight ?? 0) * (current?.fraction ?? 0);
    const done = Math.min(total, over + underWay);
    const seconds = this.#workedSeconds + (current === undefined ? 0 : this.#now() - current.begun);
    // Seconds for each unit of weight: 1 as long as nothing is known of this machine.
    const guess = trust * total;
    const pace = (guess + seconds) / (guess + this.#worked + underWay);
    const place = `${Math.min(this.#number, this.#weights.size)}/${this.#weights.size}`;
    this.#emit({
      step: "make",
      done: Math.round((1000 * done) / Math.max(total, 1e-9)),
      total: 1000,
      unit: "per mille",
      detail: `${place} ${detail}`,
      secondsLeft: Math.max(0, total - done) * pace,
    });
  }
}

function countOf(done: number, total: number, unit: string): string {
  if (unit === "%") {
    return `${done} %`;
  }
  if (unit === "bytes") {
    return `${(done / 1e9).toFixed(2)}/${(total / 1e9).toFixed(2)} GB`;
  }
  if (unit === "weights") {
    return `${(done / 1e6).toFixed(1)}/${(total / 1e6).toFixed(1)} M weights`;
  }
  return `${done}/${total} ${unit}`;
}
