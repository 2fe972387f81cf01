/** The contract of `queue`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { signal } from "../contract/shared-options.js";
import { redisAddress } from "./queue-options.js";

export const queueCommand = defineCommand({
  name: "queue",
  summary: "Lists the runs, workers and jobs of a queue.",
  options: {
    queue: option({
      isArgument: true,
      required: true,
      schema: redisAddress,
      about: "address of the queue, redis://host:6379/0",
    }),
    signal,
  },
});

export type QueueOptions = OptionsOf<typeof queueCommand>;
