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
import { type Completion, greedy } from "../generate/request.js";
import { openGguf } from "../model/gguf-model.js";
import { PythonSandbox } from "../sandbox/python.js";
import { type CheckOptions, checkCommand } from "./check-command.js";
import { gradeAnswer } from "./grade.js";
import { loadTasks, type TaskSet } from "./load.js";
import { type PassRate, passRates, wilsonInterval } from "./pass-rates.js";
import type { Task } from "./task.js";

type Settings = ResolvedOptionsOf<typeof checkCommand>;

/** One task, and what became of it. */
export interface CheckedTask {
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
  /** By kind, in the order in which kinds first occur. */
  readonly rates: readonly PassRate[];
  readonly tasks: readonly CheckedTask[];
  /** Tokens written. */
  readonly tokens: number;
  /** Time for writing and checking, without loading the model. */
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/**
 * Gives a model tasks through its chat template, decodes greedily, and checks the answers; code is run in a sandbox
 * without files, network and processes. Logits depend in their last bits on what else is computed at the same time,
 * so where two tokens are as likely an answer may differ from run to run; with `parallel` 1 it does not.
 *
 * Throws a UsageError if options make no sense or a prompt does not fit; a MalformedInputError if the tasks or the
 * model are damaged; an EnvironmentError if something cannot be read, written or started; a CancelledError.
 */
export async function check(given: CheckOptions): Promise<CheckResult> {
  const options = checkCommand.read(given);
  const taskSet = await loadTasks(options.tasks);
  if (options.output !== undefined) {
    await checkOutputs([options.output], [options.model, options.tasks]);
    await (await OutputFile.create(options.output, 0)).discard();
  }
  const setting = await Setting.open(options);
  try {
    const runsCode = taskSet.tasks.some(({ criterion }) => criterion.type === "function");
    // If it fails, the first task with code says so.
    if (runsCode) {
      setting.sandbox.start().catch(() => {});
    }
    await setting.ready(options.signal);
    const started = performance.now();
    const tasks = await checkAll(setting, taskSet.tasks, options);
    const seconds = (performance.now() - started) / 1000;
    const result = summarize(options.model, taskSet, tasks, seconds);
    if (options.output !== undefined) {
      await writeResult(options.output, result);
    }
    return result;
  } finally {
    await setting.close();
  }
}

/** What tasks are done with. */
class Setting {
  readonly generator: Generator;
  readonly sandbox = new PythonSandbox();
  readonly #template: ChatTemplate | undefined;

  private constructor(options: Settings, template: ChatTemplate | undefined) {
    const { model: path, gpuLayers, gpuMemory, threads, engine, ctx, parallel, onProgress } = options;
    this.#template = template;
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
  async promptOf({ prompt, system }: Task, signal: AbortSignal | undefined): Promise<string> {
    if (!this.#template) {
      return system === undefined ? prompt : `${system}\n\n${prompt}`;
    }
    const messages = [{ role: "user", content: prompt }];
    if (system !== undefined) {
      messages.unshift({ role: "system", content: system });
    }
    return await this.#template.render({ messages }, signal);
  }

  async close(): Promise<void> {
    this.sandbox.close();
    this.#template?.close();
    await this.generator.close();
  }
}

async function checkAll(
  setting: Setting,
  tasks: readonly Task[],
  { maxTokens, parallel, onProgress, signal }: Settings,
): Promise<CheckedTask[]> {
  const stop = new AbortController();
  const eitherSignal = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  setMaxListeners(0, eitherSignal); // every answer under way listens
  const progress = { step: "check", total: tasks.length, unit: "tasks" };
  let passed = 0;
  let done = 0;
  const one = async (task: Task): Promise<CheckedTask> => {
    const prompt = await setting.promptOf(task, eitherSignal);
    const limit = task.maxTokens ?? maxTokens;
    const completion = await setting.generator.generate(
      { prompt, maxTokens: limit, sampling: greedy },
      { signal: eitherSignal },
    );
    const checked = await grade(setting, task, completion, eitherSignal);
    done++;
    if (checked.passed) {
      passed++;
    }
    onProgress?.({ ...progress, done, detail: `${passed} passed` });
    return checked;
  };
  try {
    // More than the slots, so that none waits while answers are graded.
    return await mapSome(tasks, 2 * parallel, one);
  } catch (error) {
    stop.abort();
    if (signal?.aborted) {
      throw new CancelledError("the check was stopped.");
    }
    throw error;
  }
}

async function grade(
  { sandbox }: Setting,
  task: Task,
  { text, completionTokens, finishReason }: Completion,
  signal: AbortSignal,
): Promise<CheckedTask> {
  const { line, kind, prompt } = task;
  const grade = await gradeAnswer(task, text, sandbox, signal);
  return {
    line,
    kind,
    prompt,
    answer: text,
    ...grade,
    tokens: completionTokens,
    truncated: finishReason === "length",
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

function summarize(
  model: string,
  { name, sha256 }: TaskSet,
  tasks: readonly CheckedTask[],
  seconds: number,
): CheckResult {
  const passed = tasks.filter((task) => task.passed).length;
  const tokens = tasks.reduce((sum, task) => sum + task.tokens, 0);
  return {
    model,
    taskSet: { name, sha256, count: tasks.length },
    passed,
    failed: tasks.length - passed,
    ...wilsonInterval(passed, tasks.length),
    rates: passRates(tasks),
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
