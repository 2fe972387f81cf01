/**
 * The job that writes a group of answers. Logits depend in their last bits on what else is computed in a batch, and on
 * what a cache has from before; a group has a context of its own and all its requests from the first batch on, so its
 * answers depend on nothing but the group.
 */
import { defineJob, type JobHost } from "../engine/job.js";
import { readsModel } from "../engine/job-files.js";
import type { ModelOptions } from "../engine/model.js";
import { CancelledError } from "../errors.js";
import { Answer } from "./answer.js";
import { type ContextShape, contextOptions } from "./context-shape.js";
import { checkFits } from "./prompt.js";
import type { TokenizedRequest } from "./protocol.js";
import type { AnswerPiece, FinishReason } from "./request.js";
import { Scheduler } from "./scheduler.js";
import { vocabularyOf } from "./vocabulary.js";

export interface TogetherParams extends ContextShape {
  readonly model: ModelOptions;
  /** Without grammars. */
  readonly requests: readonly Omit<TokenizedRequest, "grammar">[];
}

export interface TogetherAnswer {
  readonly text: string;
  readonly tokens: number;
  readonly finishReason: FinishReason;
}

/** Answers in the order of the requests; each that is whole is told as an event, by its number of tokens. */
export const writeTogether = defineJob(
  import.meta.url,
  "writeTogether",
  ({ model }) => readsModel(model),
  (params: TogetherParams, host: JobHost<number>): TogetherAnswer[] => {
    const { requests, slots, contextLength } = params;
    const model = host.model(params.model);
    const vocabulary = vocabularyOf(model);
    const { vocabularySize, isRecurrent } = model.facts;
    const answers = requests.map((request, id) => {
      checkFits(request.prompt, contextLength);
      return new Answer(id, request, request.prompt, vocabulary);
    });
    const pieces = requests.map((): AnswerPiece[] => []);
    const context = model.createContext(contextOptions(params));
    const scheduler = new Scheduler(
      context,
      {
        ...{ slots, contextLength, vocabularySize, canShare: !isRecurrent },
        batchSize: Math.min(params.batchSize, context.batchSize),
      },
      {
        onStart: () => {},
        onPiece: ({ id }, piece) => {
          pieces[id]?.push(piece);
          if (piece.finish) {
            host.emit(piece.finish.completionTokens);
          }
        },
        onFailure: (_, error) => {
          throw error;
        },
      },
    );
    try {
      for (const answer of answers) {
        scheduler.add(answer);
      }
      while (!scheduler.isIdle) {
        if (host.isCancelled()) {
          throw new CancelledError("the model's work was stopped.");
        }
        scheduler.step();
      }
    } finally {
      scheduler.close();
      context.close();
    }
    return pieces.map((parts) => {
      const finish = parts.at(-1)?.finish;
      return {
        text: parts.map(({ text }) => text).join(""),
        tokens: finish?.completionTokens ?? 0,
        finishReason: finish?.reason ?? "length",
      };
    });
  },
);
