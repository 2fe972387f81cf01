/** The parent's side of making windows: reads the models, wherever they are, for a job beside llama.cpp. */
import { type FileHandle, open } from "node:fs/promises";
import type { Engine, JobOptions } from "../engine/engine.js";
import type { Job } from "../engine/job.js";
import { type PartialModel, partsOf, vocabularyModel, windowModel } from "../model/layer-window.js";
import type { ModelSource } from "../model/source.js";
import { serializeError } from "../serialized-error.js";
import { Embeddings } from "./embeddings.js";
import { isWindowRequest, type WindowReply, type WindowRequest } from "./window-messages.js";

/**
 * Runs a job that may ask for windows of some models, and answers it. Errors of reading a model end the job with
 * them.
 */
export function runWithWindows<Params, Result, Event>(
  engine: Engine,
  job: Job<Params, Result, Event | WindowRequest, WindowReply>,
  params: Params,
  sources: readonly ModelSource[],
  { onEvent, ...options }: JobOptions<Event> = {},
): Promise<Result> {
  const embeddings = new Map<number, Promise<Embeddings>>();
  const running = engine.start(job, params, {
    ...options,
    onEvent(event) {
      if (!isWindowRequest(event)) {
        onEvent?.(event);
        return;
      }
      answer(engine, event, sources[event.model], embeddings)
        .then((vectors) => running.send({ request: event.request, ...(vectors && { vectors }) }))
        .catch((error: unknown) => running.send({ request: event.request, error: serializeError(error) }));
    },
  });
  return running.result;
}

async function answer(
  engine: Engine,
  request: WindowRequest,
  source: ModelSource | undefined,
  embeddings: Map<number, Promise<Embeddings>>,
): Promise<Float32Array | undefined> {
  if (source === undefined) {
    throw new RangeError(`there is no model ${request.model}`);
  }
  if (request.kind === "embeddings") {
    const { model, tokens, all = tokens } = request;
    const known = embeddings.get(model) ?? Embeddings.read(source, all);
    embeddings.set(model, known);
    return (await known).vectors(tokens);
  }
  await write(
    request.kind === "vocabulary" ? vocabularyModel(source) : windowModel(source, request.range),
    engine.outsidePath(request.path),
  );
  return undefined;
}

async function write(model: PartialModel, path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.truncate(model.layout.byteLength);
    for await (const { offset, bytes } of partsOf(model)) {
      await writeAll(file, bytes, offset);
    }
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
  }
}
