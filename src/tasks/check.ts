/** Does a model still think? Tasks with answers that can be checked: the whole of the `check` command. */
import { setMaxListeners } from "node:events";
import { basename } from "node:path";
import { writeTextFile } from "../bytes/atomic-write.js";
import { OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import type { ResolvedOptionsOf } from "../contract/command.js";
import { CancelledError } from "../errors.js";
import { ChatTemplate, findChatTemplate } from "../generate/chat-template.js";
import { Generator } from "../generate/generator.js";
import { greedy } from "../generate/request.js";
import { AnswerFamily } from "../generate/tool-calls/families.js";
import { openGguf } from "../model/gguf-model.js";
import { PythonSandbox } from "../sandbox/python.js";
import { type CheckOptions, checkCommand } from "./check-command.js";
import { gradeAnswer } from "./grade.js";
import {
  type Habits,
  habitsOf,
  type JudgedAnswer,
  type LengthRatio,
  lengthRatio,
  sumHabits,
} from "./habits.js";
import { loadTasks, type TaskSet } from "./load.js";
import { type PassRate, passRates, type SampledRate, sampledRate, wilsonInterval } from "./pass-rates.js";
import type { Task } from "./task.js";

type Settings = ResolvedOptionsOf<typeof checkCommand>;

/** One answer to a task, and what became of it. */
export interface CheckedTask extends JudgedAnswer {
  /** Where the task stands in its file. */
  readonly line: number;
  readonly kind: string;
  readonly prompt: string;
  readonly answer: string;
  readonly passed: boolean;
  /** Why it did not pass. */
  readonly reason?: string;
  /** Tokens of the answer. */
  readonly tokens: number;
  /** Whether the answer was cut off because it was too long. */
  readonly truncated: boolean;
  /** Of a sampled answer; greedy ones have none. */
  readonly seed?: number;
}

/** The same tasks, given to another model. */
export interface CheckedReference {
  readonly model: string;
  readonly passed: number;
  readonly failed: number;
  readonly rates: readonly PassRate[];
  readonly sampled?: SampledRate;
  readonly habits: Habits;
}

export interface CheckResult {
  readonly model: string;
  /** The file of tasks, so that two results can be compared. */
  readonly taskSet: { readonly name: string; readonly sha256: string; readonly count: number };
  readonly passed: number;
  readonly failed: number;
  /** 95 % interval of the share that passes. */
  readonly low: number;
  readonly high: number;
  /** By kind, in the order in which kinds first occur; greedy answers alone. */
  readonly rates: readonly PassRate[];
  /** Only if answers were sampled. */
  readonly sampled?: SampledRate;
  /** What all answers are like. */
  readonly habits: Habits;
  readonly reference?: CheckedReference;
  /** How long the answers are beside the reference's. */
  readonly length?: LengthRatio;
  /** The greedy answers, in the tasks' order, then those of each seed. */
  readonly tasks: readonly CheckedTask[];
  /** Tokens written. */
  readonly tokens: number;
  /** Time for writing and checking, without loading the model. */
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/**
 * Gives a model tasks through its chat template, decodes greedily and with seeds if asked to, and checks the answers;
 * code is run in a sandbox without files, network and processes. A reference is given the same tasks afterwards. Logits
 * depend in their last bits on what else is computed at the same time, so where two tokens are as likely an answer may
 * differ from run to run; with `parallel` 1 it does not.
 *
 * Throws a UsageError if options make no sense or a prompt does not fit; a MalformedInputError if the tasks or the
 * model are damaged; an EnvironmentError if something cannot be read, written or started; a CancelledError.
 */
export async function check(given: CheckOptions): Promise<CheckResult> {
  const options = checkCommand.read(given);
  const taskSet = await loadTasks(options.tasks);
  if (options.output !== undefined) {
    await checkOutputs([options.output], [options.model, options.tasks, options.reference]);
    await (await OutputFile.create(options.output, 0)).discard();
  }
  const own = await checkModel(options.model, taskSet, options);
  const result = {
    ...summarize(options.model, taskSet, own),
    ...(options.reference !== undefined &&
      (await compareWith(options.reference, own.tasks, taskSet, options))),
  };
  if (options.output !== undefined) {
    await writeResult(options.output, result);
  }
  return result;
}

/** Gives the reference the tasks. */
async function compareWith(model: string, own: readonly CheckedTask[], taskSet: TaskSet, options: Settings) {
  const theirs = await checkModel(model, taskSet, options);
  const { passed, failed, rates, sampled, habits } = summarize(model, taskSet, theirs);
  const length = lengthRatio(own, theirs.tasks);
  return {
    reference: { model, passed, failed, rates, ...(sampled && { sampled }), habits },
    ...(length && { length }),
  };
}

/** What a model answered, and how long that took. */
interface Answered {
  readonly tasks: readonly CheckedTask[];
  readonly seconds: number;
}

async function checkModel(model: string, taskSet: TaskSet, options: Settings): Promise<Answered> {
  const setting = await Setting.open({ ...options, model });
  try {
    const runsCode = taskSet.tasks.some(({ criterion }) => /^(function|program)$/.test(criterion.type));
    // If it fails, the first task with code says so.
    if (runsCode) {
      setting.sandbox.start().catch(() => {});
    }
    await setting.ready(options.signal);
    const started = performance.now();
    const tasks = await checkAll(setting, taskSet.tasks, options);
    return { tasks, seconds: (performance.now() - started) / 1000 };
  } finally {
    await setting.close();
  }
}

/** What tasks are done with. */
class Setting {
  readonly generator: Generator;
  readonly sandbox = new PythonSandbox();
  /** How the model writes calls of tools. */
  readonly family: AnswerFamily;
  readonly #template: ChatTemplate | undefined;

  private constructor(options: Settings, template: ChatTemplate | undefined) {
    const { model: path, gpuLayers, gpuMemory, threads, engine, ctx, parallel, onProgress } = options;
    this.#template = template;
    this.family = new AnswerFamily(template?.text ?? "");
    this.generator = new Generator({
      model: { path, ...(gpuLayers === undefined ? {} : { gpuLayers }) },
      slots: parallel,
      contextLength: ctx,
      threads,
      gpuMemory,
      engine,
      onNote: options.onWarning,
      onLoad: (fraction) =>
        onProgress?.({ step: "load", done: Math.floor(100 * fraction), total: 100, unit: "%", detail: path }),
    });
  }

  static async open(options: Settings): Promise<Setting> {
    const model = await openGguf(options.model);
    try {
      const source = findChatTemplate(model.metadata, basename(options.model));
      return new Setting(options, source && new ChatTemplate(source));
    } finally {
      await model.close();
    }
  }

  /** Waits until the model is loaded, but not when the work is stopped: closing ends the loading. */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    let stop = () => {};
    const stopped = new Promise<never>((_, reject) => {
      stop = () => reject(new CancelledError("the check was stopped."));
    });
    if (signal?.aborted) {
      stop();
    }
    signal?.addEventListener("abort", stop, { once: true });
    try {
      await Promise.race([this.generator.ready(), stopped]);
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** A model without chat template gets the prompt as it is. */
  async promptOf({ prompt, system, tools }: Task, signal: AbortSignal | undefined): Promise<string> {
    if (!this.#template) {
      return system === undefined ? prompt : `${system}\n\n${prompt}`;
    }
    const messages = [{ role: "user", content: prompt }];
    if (system !== undefined) {
      messages.unshift({ role: "system", content: system });
    }
    const given = tools.length > 0 ? { messages, tools } : { messages };
    return await this.#template.render(given, signal);
  }

  async close(): Promise<void> {
    this.sandbox.close();
    this.#template?.close();
    await this.generator.close();
  }
}

/** One answer to be written: greedy without a seed. */
interface Attempt {
  readonly task: Task;
  readonly seed?: number;
}

async function checkAll(
  setting: Setting,
  tasks: readonly Task[],
  { maxTokens, parallel, samples, onProgress, signal }: Settings,
): Promise<CheckedTask[]> {
  const stop = new AbortController();
  const eitherSignal = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  setMaxListeners(0, eitherSignal); // every answer under way listens
  const seeds = Array.from({ length: samples }, (_, sample) => sample + 1);
  const attempts: Attempt[] = [
    ...tasks.map((task) => ({ task })),
    ...seeds.flatMap((seed) => tasks.map((task) => ({ task, seed }))),
  ];
  const progress = { step: "check", total: attempts.length, unit: samples > 0 ? "answers" : "tasks" };
  let passed = 0;
  let done = 0;
  const one = async (attempt: Attempt): Promise<CheckedTask> => {
    const checked = await answer(setting, attempt, maxTokens, eitherSignal);
    done++;
    if (checked.passed) {
      passed++;
    }
    onProgress?.({ ...progress, done, detail: `${passed} passed` });
    return checked;
  };
  try {
    // More than the slots, so that none waits while answers are graded.
    return await mapSome(attempts, 2 * parallel, one);
  } catch (error) {
    stop.abort();
    if (signal?.aborted) {
      throw new CancelledError("the check was stopped.");
    }
    throw error;
  }
}

/** Has a task answered, and grades the answer. */
async function answer(
  setting: Setting,
  { task, seed }: Attempt,
  maxTokens: number,
  signal: AbortSignal,
): Promise<CheckedTask> {
  const { generator, family, sandbox } = setting;
  const { line, kind, tools } = task;
  const prompt = await setting.promptOf(task, signal);
  const { text, tokens, completionTokens, finishReason } = await generator.generate(
    {
      prompt,
      maxTokens: task.maxTokens ?? maxTokens,
      sampling: seed === undefined ? greedy : { seed },
      ...(tools.length > 0 && { visibleTokens: family.visibleTokens(true) }),
    },
    { signal },
  );
  const grade = await gradeAnswer({ task, answer: text, prompt, sandbox, family }, signal);
  const truncated = finishReason === "length";
  return {
    ...{ line, kind, prompt: task.prompt, answer: text },
    ...grade,
    ...(seed !== undefined && { seed }),
    tokens: completionTokens,
    truncated,
    ...habitsOf(text, tokens, truncated),
  };
}

/** Maps with at most `limit` under way; results in the order of the items. */
async function mapSome<Item, Result>(
  items: readonly Item[],
  limit: number,
  map: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const entries = items.entries();
  const work = async () => {
    for (const [index, item] of entries) {
      results[index] = await map(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  return results;
}

function summarize(model: string, { name, sha256, tasks: given }: TaskSet, answered: Answered): CheckResult {
  const { tasks, seconds } = answered;
  const greedyOnes = tasks.filter(({ seed }) => seed === undefined);
  const passed = greedyOnes.filter((task) => task.passed).length;
  const tokens = tasks.reduce((sum, task) => sum + task.tokens, 0);
  const sampled = sampledRate(tasks.filter(({ seed }) => seed !== undefined));
  return {
    model,
    taskSet: { name, sha256, count: given.length },
    passed,
    failed: greedyOnes.length - passed,
    ...wilsonInterval(passed, greedyOnes.length),
    rates: passRates(greedyOnes),
    ...(sampled && { sampled }),
    habits: sumHabits(tasks),
    tasks,
    tokens,
    seconds,
    tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
  };
}

async function writeResult(path: string, result: CheckResult): Promise<void> {
  await writeTextFile(
    path,
    `${JSON.stringify(result, undefined, 2)}
`,
  );
}
