import assert from "node:assert/strict";
import { test } from "node:test";
import { views } from "./cli/views.js";
import { commands } from "./commands.js";
import { flagOf, hasFlag } from "./contract/flags.js";
import type { Option } from "./contract/option.js";
import { json } from "./contract/shared-options.js";
import * as main from "./index.js";
import * as server from "./serve/server.js";
import * as machines from "./worker/library.js";

/** What programs import: the package itself, and its parts for servers and queues, which are apart. */
const library = { ...main, ...server, ...machines };

for (const { command, load } of commands) {
  const rows = Object.entries<Option>({ ...command.options, json });

  test(`${command.name}: the library has its function, and the command line a view`, async () => {
    assert.equal(Reflect.get(library, command.name), await load());
    assert.ok(views[command.name]);
  });

  test(`${command.name}: no name on the command line is taken twice`, () => {
    const flags = rows.filter(([, row]) => hasFlag(row)).map(([name, row]) => flagOf(name, row));
    const others = rows.flatMap(([, { short, aliases = [] }]) => [...(short ? [short] : []), ...aliases]);
    const all = [...flags, ...others, "-h", "--help", "-V", "--version"];
    assert.deepEqual(all, [...new Set(all)]);
  });

  test(`${command.name}: defaults are what options take`, () => {
    for (const [name, { schema, default: byDefault }] of rows) {
      if (byDefault !== undefined) {
        assert.ok(schema.safeParse(byDefault).success, name);
      }
    }
  });

  test(`${command.name}: sentences begin small and have no full stop`, () => {
    for (const [name, { about }] of rows) {
      assert.match(about, /[^.]$/, name);
    }
  });
}

test("numbers that nothing has room for are refused before the work, by every command", () => {
  const tooMany = {
    port: 70_000,
    ctx: 2 ** 31,
    ctxSize: 2 ** 31,
    threads: 100_000,
    parallel: 2 ** 31,
    chunks: 1e12,
  };
  let found = 0;
  for (const { command } of commands) {
    for (const [name, value] of Object.entries(tooMany)) {
      const row: Option | undefined = Object.entries<Option>(command.options).find(
        ([key]) => key === name,
      )?.[1];
      if (row !== undefined && !row.isHidden) {
        found++;
        assert.match(
          row.schema.safeParse(value).error?.issues[0]?.message ?? "",
          /^must be at most \d+$/,
          name,
        );
      }
    }
  }
  assert.ok(found > 15, `${found}`);
});
