/** Options of the commands that can have other machines work for them. */
import { option } from "../contract/option.js";
import { parsed, text, yesNo } from "../contract/values.js";
import { parseListenAddress } from "./listen-address.js";

const isRedis = /^rediss?:\/\//;

/** Where a queue is. */
export const redisAddress = text.refine(
  (address) => isRedis.test(address) && URL.canParse(address),
  "must be an address like redis://host:6379/0",
);

export const token = option({
  value: "<token>",
  // As it may stand in the header of a request.
  schema: text.regex(/^[\x21-\x7e]{16,200}$/, "must be 16 to 200 letters, digits and signs without spaces"),
  about: "secret that the machines of a queue share",
  environment: "LOPSIDED_QUEUE_TOKEN",
});

/** What every command that works with a queue is asked. */
export const queueOptions = {
  queue: option({
    value: "<redis://...>",
    schema: redisAddress,
    about: "have the workers of this queue (lopsided worker) do the work too",
  }),
  token,
  listen: option({
    value: "<host:port>",
    schema: parsed(parseListenAddress),
    about: "where workers get their data, as they reach it",
    unset: "the address that Redis is reached from, at any free port",
  }),
  local: option({ schema: yesNo, about: "leave all of the work to the workers of the queue", default: true }),
} as const;
