/** The contract of `worker`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { encoderThreads, onWarning, signal } from "../contract/shared-options.js";
import { size, text } from "../contract/values.js";
import { redisAddress, token } from "../queue/queue-options.js";

export const workerCommand = defineCommand({
  name: "worker",
  summary: "Works for the runs of other machines that use the same queue, until it is interrupted.",
  options: {
    queue: option({
      value: "<redis://...>",
      required: true,
      schema: redisAddress,
      about: "queue to take work from",
    }),
    token,
    threads: encoderThreads,
    shared: option({
      value: "<folder>",
      schema: text,
      about:
        "folder that has models of coordinators under the same names, so that they are read and run there",
    }),
    cache: option({
      value: "<size>",
      schema: size,
      about: "memory for importance and moments that slices share",
      unset: "a tenth of the memory",
    }),
    models: option({
      value: "<folder>",
      schema: text,
      about: "where models are kept that coordinators send, to run groups of chunks through them",
      unset: "lopsided/models in the user's cache folder",
    }),
    modelsSize: option({
      value: "<size>",
      schema: size,
      about: "disk for these models; larger ones are not fetched",
      unset: "half of what is free",
    }),
    onWarning,
    signal,
  },
});

export type WorkerOptions = OptionsOf<typeof workerCommand>;
