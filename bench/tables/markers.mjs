// Tables in Markdown, and their places in a page: between <!-- table: NAME --> and <!-- /table -->.

/** A Markdown table, padded as the formatter has it; columns in `right` are aligned right. */
export function markdownTable(head, rows, right = []) {
  const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i].length)));
  const pad = (cell, i) => (right.includes(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i]));
  const line = (cells) => `| ${cells.map(pad).join(" | ")} |`;
  const rule = widths.map((width, i) =>
    right.includes(i) ? `${"-".repeat(width - 1)}:` : "-".repeat(width),
  );
  return [line(head), line(rule), ...rows.map(line)].join("\n");
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
