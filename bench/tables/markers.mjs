// Tables in Markdown, and their places in a page: between <!-- table: NAME --> and <!-- /table -->.

/** A Markdown table; columns after the first are aligned right where `right` says so. */
export function markdownTable(head, rows, right = []) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (right.includes(i) ? "--:" : "---"))), ...rows.map(line)].join(
    "\n",
  );
}

/** What stands below a table: the command that measured it, the date, and what else is to be known. */
export function origin({ command, date, note }) {
  return [`\`${command}\`, ${date}.`, note].filter(Boolean).join(" ");
}

/** The page with each of its tables written anew by `render(name)`. */
export function withTables(page, render) {
  return page.replace(
    /(<!-- table: ([\w-]+) -->\n).*?(<!-- \/table -->)/gs,
    (_, begin, name, end) => `${begin}\n${render(name)}\n\n${end}`,
  );
}
