/** Errors on their way over the network, where anything may come. */
import { z } from "zod";
import type { SerializedError } from "../serialized-error.js";

const schema = z.strictObject({
  name: z.string().max(100),
  message: z.string().max(10_000),
  details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});

/** As bytes; the stack stays where it was. */
export function writeSerializedError({ name, message, details }: SerializedError): Uint8Array {
  return Buffer.from(JSON.stringify({ name, message, details }));
}

/** From bytes. Throws if it is no error. */
export function readSerializedError(body: Uint8Array): SerializedError {
  return { ...schema.parse(JSON.parse(Buffer.from(body).toString("utf8"))), stack: undefined };
}
