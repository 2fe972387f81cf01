/** HTML of texts that strangers wrote: everything is escaped unless it is HTML of ours. */

/** Text for content and for attributes in quotes. */
export function escapeHtml(text: string): string {
  return text
    .replace(/(?!\n|\t)[\p{Cc}\p{Bidi_Control}]/gu, " ")
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A table of plain texts. The first column names the rows; columns in `right` (by number) are aligned to the right. */
export function htmlTable(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const align = (column: number) => (right.includes(column) ? ' class="number"' : "");
  const headCells = head.map((cell, i) => `<th scope="col"${align(i)}>${escapeHtml(cell)}</th>`);
  const bodyRows = rows.map((row) =>
    row
      .map((cell, i) =>
        i === 0
          ? `<th scope="row"${align(i)}>${escapeHtml(cell)}</th>`
          : `<td${align(i)}>${escapeHtml(cell)}</td>`,
      )
      .join(""),
  );
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(caption)}"><table><caption>${escapeHtml(caption)}</caption><thead><tr>${headCells.join("")}</tr></thead><tbody>${bodyRows.map((cells) => `<tr>${cells}</tr>`).join("\n")}</tbody></table></div>`;
}

/** Something that is shown when asked for. */
export function details(summary: string, content: string): string {
  return `<details><summary>${escapeHtml(summary)}</summary>${content}</details>`;
}

/** A code block. */
export function pre(text: string): string {
  return `<pre tabindex="0"><code>${escapeHtml(text)}</code></pre>`;
}
