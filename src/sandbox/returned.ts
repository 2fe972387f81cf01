/** Reading what a program in the sandbox says that its functions returned: any text at all, so it is checked. */
import { z } from "zod";

/** What a call returned, a JSON value, or the error it raised. */
export type Returned = { readonly value: unknown } | { readonly error: string };

const schema = z.object({
  failed: z.object({ error: z.string().max(1000) }).nullable(),
  returned: z.array(
    z.union([z.object({ value: z.unknown() }).strict(), z.object({ error: z.string() }).strict()]),
  ),
});

/** The harness's report; something else counts as a program that returned nothing. */
export function parseReturned(text: string | undefined): {
  readonly failure: string | undefined;
  readonly returned: readonly Returned[];
} {
  if (text === undefined) return { failure: "ended before its functions returned", returned: [] };
  try {
    const { failed, returned } = schema.parse(JSON.parse(text));
    return { failure: failed?.error, returned: returned as Returned[] };
  } catch {
    return { failure: "left a result that cannot be read", returned: [] };
  }
}
