/** Reading what a program in the sandbox says that its functions returned: any text at all, so it is checked. */
import { z } from "zod";

/** What a call returned, a JSON value, or the error it raised. */
export type Returned = { readonly value: unknown } | { readonly error: string };

export interface Report {
  /** Why the program did not get as far as its calls, or its report cannot be read. */
  readonly failure: string | undefined;
  readonly returned: readonly Returned[];
}

/** How deeply lists and objects may nest. Python's own encoder stops at about 1000; results have a few levels. */
const maxDepth = 100;

const returnedSchema = z.union([
  z.object({ value: z.unknown() }).strict(),
  z.object({ error: z.string() }).strict(),
]);
const failedSchema = z.object({ failed: z.string().max(1000) }).strict();

/** The harness's report, a line for each call. What follows a line that is none is not looked at. */
export function parseReport(text: string): Report {
  const returned: Returned[] = [];
  for (const line of text.split("\n").slice(0, -1)) {
    const parsed = parseLine(line);
    if (parsed === undefined) {
      return { failure: "left a report that cannot be read", returned };
    }
    if ("failed" in parsed) {
      return { failure: parsed.failed, returned };
    }
    returned.push(parsed);
  }
  return { failure: undefined, returned };
}

function parseLine(line: string): Returned | { readonly failed: string } | undefined {
  try {
    const json: unknown = JSON.parse(line);
    if (!nestsWithin(json, maxDepth)) {
      return undefined;
    }
    const { data: failed } = failedSchema.safeParse(json);
    return failed ?? (returnedSchema.parse(json) as Returned);
  } catch {
    return undefined;
  }
}

/** So that whatever walks through the value later (comparing, printing) does not run out of stack. */
function nestsWithin(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) {
    return true;
  }
  return levels > 0 && Object.values(value).every((item) => nestsWithin(item, levels - 1));
}
