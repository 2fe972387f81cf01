/**
 * Lines of the task files that people have, as tasks of ours: HumanEval (`prompt`, `entry_point`, `test`), MBPP (`text`
 * or `prompt`, `test_list`), GSM8K (`question`, and an `answer` that ends with `#### 72`).
 */
import { z } from "zod";

/** A line as it is checked afterwards: a prompt, and tests as a program or a number. */
export type ForeignTask = {
  readonly kind: string;
  readonly prompt: string;
} & (
  | { readonly answer: number }
  | { readonly program: { readonly name: string; readonly before: string; readonly tests: string } }
);

const humanEval = z.object({
  prompt: z.string().min(1),
  entry_point: z.string().regex(/^[A-Za-z_]\w*$/),
  test: z.string().min(1),
});

const mbpp = z
  .object({
    text: z.string().min(1).optional(),
    prompt: z.string().min(1).optional(),
    test_list: z.array(z.string().min(1)).min(1),
    test_setup_code: z.string().optional(),
    test_imports: z.array(z.string()).optional(),
  })
  .refine(({ text, prompt }) => text !== undefined || prompt !== undefined);

const gsm8k = z.object({ question: z.string().min(1), answer: z.string().min(1) });

/** Undefined if the line is of none of these forms. */
export function foreignTask(line: unknown): ForeignTask | undefined {
  return ofHumanEval(line) ?? ofMbpp(line) ?? ofGsm8k(line);
}

function ofHumanEval(line: unknown): ForeignTask | undefined {
  const { data } = humanEval.safeParse(line);
  if (data === undefined) {
    return undefined;
  }
  const { prompt, entry_point: name, test } = data;
  return {
    kind: "code",
    prompt: `Complete this Python function. Answer with the whole function, in one Python code block.\n\n\`\`\`python\n${prompt.trimEnd()}\n\`\`\``,
    program: { name, before: prompt, tests: `${test}\n\ncheck(${name})` },
  };
}

function ofMbpp(line: unknown): ForeignTask | undefined {
  const { data } = mbpp.safeParse(line);
  const {
    text,
    prompt,
    test_list: tests = [],
    test_setup_code: setup = "",
    test_imports: imports = [],
  } = data ?? {};
  const name = /\b([A-Za-z_]\w*)\s*\(/.exec((tests[0] ?? "").replace(/^\s*assert\s*\(?/, ""))?.[1];
  const asked = text ?? prompt;
  if (asked === undefined || name === undefined) {
    return undefined;
  }
  return {
    kind: "code",
    prompt: `${asked}\nAnswer with the code, in one Python code block. It must pass these tests:\n\n${tests.join("\n")}`,
    program: { name, before: "", tests: [...imports, setup, ...tests].join("\n") },
  };
}

function ofGsm8k(line: unknown): ForeignTask | undefined {
  const { data } = gsm8k.safeParse(line);
  const digits = /####\s*(-?[\d,]+(?:\.\d+)?)\s*$/.exec(data?.answer ?? "")?.[1];
  return data === undefined || digits === undefined
    ? undefined
    : {
        kind: "arithmetic",
        prompt: `${data.question}\nEnd with a line "Answer: <number>".`,
        answer: Number(digits.replaceAll(",", "")),
      };
}
