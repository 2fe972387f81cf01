// Conversations of our own making, for calibration and evaluation: calls of tools with their results, and chat.
// The same numbers give the same conversations.

/** Random numbers from a seed (mulberry32). */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value = (value + Math.imul(value ^ (value >>> 7), value | 61)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

const cities = [
  "Lisbon",
  "Osaka",
  "Nairobi",
  "Oslo",
  "Quito",
  "Hanoi",
  "Leeds",
  "Turin",
  "Perth",
  "Dakar",
  "Boise",
  "Gdańsk",
  "Cuzco",
  "Kyoto",
];
const people = [
  "Ana",
  "Kofi",
  "Mei",
  "Lars",
  "Priya",
  "Omar",
  "Ivana",
  "Tomás",
  "Aiko",
  "Femi",
  "Nora",
  "Jonas",
];
const things = [
  "a stapler",
  "two lamps",
  "hiking boots",
  "a kettle",
  "a desk chair",
  "batteries",
  "a raincoat",
  "a phone case",
];
const topics = [
  "tides",
  "sourdough",
  "bicycle gears",
  "photosynthesis",
  "the Silk Road",
  "glaciers",
  "chess openings",
  "solar panels",
];
const files = [
  "src/index.ts",
  "README.md",
  "lib/parser.py",
  "config/app.yaml",
  "notes/todo.txt",
  "cmd/main.go",
  "styles/main.css",
];

const text = (description) => ({ type: "string", description });
const tool = (name, description, properties, required) => ({
  type: "function",
  function: { name, description, parameters: { type: "object", properties, required } },
});

/** A tool: how people ask for it, what is called, what comes back, what is said of it. */
const uses = [
  {
    tool: tool(
      "get_weather",
      "Current weather of a city.",
      { city: text("Name of the city"), unit: { type: "string", enum: ["celsius", "fahrenheit"] } },
      ["city"],
    ),
    make: ({ pick, number }) => {
      const [city, degrees, sky] = [
        pick(cities),
        number(-5, 34),
        pick(["clear", "overcast", "light rain", "windy", "fog"]),
      ];
      return {
        ask: pick([
          `What's the weather like in ${city}?`,
          `Do I need a jacket in ${city} right now?`,
          `${city}: temperature please, in Celsius.`,
        ]),
        args: { city, unit: "celsius" },
        result: { city, temperature: degrees, sky, humidity: number(20, 95) },
        say: `It is ${degrees} °C and ${sky} in ${city}.${degrees < 12 ? " Take a jacket." : ""}`,
      };
    },
  },
  {
    tool: tool(
      "create_event",
      "Adds an event to the calendar.",
      {
        title: text("Title"),
        date: text("ISO date"),
        time: text("HH:MM"),
        attendees: { type: "array", items: { type: "string" } },
      },
      ["title", "date", "time"],
    ),
    make: ({ pick, number }) => {
      const [who, day, hour] = [pick(people), number(1, 28), number(8, 18)];
      const date = `2026-0${number(1, 9)}-${String(day).padStart(2, "0")}`;
      const time = `${String(hour).padStart(2, "0")}:${pick(["00", "15", "30"])}`;
      const title = pick(["Planning", "Lunch", "Code review", "Interview", "Budget"]);
      return {
        ask: pick([
          `Put "${title}" with ${who} on ${date} at ${time}.`,
          `Schedule ${title.toLowerCase()} with ${who}, ${date}, ${time}.`,
        ]),
        args: { title, date, time, attendees: [who] },
        result: { id: `ev_${number(1000, 9999)}`, status: "created" },
        say: `Done: ${title} with ${who} on ${date} at ${time}.`,
      };
    },
  },
  {
    tool: tool(
      "search_web",
      "Searches the web.",
      { query: text("What to look for"), limit: { type: "integer", minimum: 1, maximum: 10 } },
      ["query"],
    ),
    make: ({ pick, number }) => {
      const [topic, limit] = [pick(topics), number(2, 5)];
      return {
        ask: pick([
          `Find me something to read about ${topic}.`,
          `Look up ${topic} and give me ${limit} sources.`,
        ]),
        args: { query: `${topic} introduction`, limit },
        result: {
          results: [
            { title: `A short guide to ${topic}`, url: `https://example.org/${topic.replace(/\W+/g, "-")}` },
            { title: `${topic}: questions and answers`, url: "https://example.net/qa" },
          ],
        },
        say: `Two places to begin: "A short guide to ${topic}" (example.org) explains the basics, and example.net answers common questions.`,
      };
    },
  },
  {
    tool: tool(
      "read_file",
      "Reads a file of the project.",
      { path: text("Path from the root"), start_line: { type: "integer" }, end_line: { type: "integer" } },
      ["path"],
    ),
    make: ({ pick, number }) => {
      const [path, line] = [pick(files), number(1, 80)];
      return {
        ask: pick([
          `What is in ${path} around line ${line}?`,
          `Open ${path} and tell me what happens at line ${line}.`,
        ]),
        args: { path, start_line: Math.max(1, line - 3), end_line: line + 3 },
        result: {
          path,
          lines: [`${line}: const limit = ${number(2, 64)};`, `${line + 1}: return items.slice(0, limit);`],
        },
        say: `Line ${line} of ${path} sets a limit, and the next line returns only as many items as that.`,
      };
    },
  },
  {
    tool: tool("run_sql", "Runs a query that only reads.", { query: text("SQL, SELECT only") }, ["query"]),
    make: ({ pick, number }) => {
      const [table, count] = [pick(["orders", "users", "invoices", "tickets"]), number(3, 4000)];
      const column = pick(["created_at", "status", "country"]);
      return {
        ask: pick([`How many ${table} are there?`, `Count the ${table} for me, by ${column}.`]),
        args: {
          query: `SELECT ${column}, COUNT(*) AS n FROM ${table} GROUP BY ${column} ORDER BY n DESC LIMIT 5;`,
        },
        result: {
          columns: [column, "n"],
          rows: [
            ["a", count],
            ["b", Math.floor(count / 3)],
          ],
        },
        say: `The largest group has ${count} ${table}, the next one ${Math.floor(count / 3)}.`,
      };
    },
  },
  {
    tool: tool(
      "convert_currency",
      "Converts an amount between currencies.",
      { amount: { type: "number" }, from: text("ISO code"), to: text("ISO code") },
      ["amount", "from", "to"],
    ),
    make: ({ pick, number }) => {
      const [amount, from, to, rate] = [
        number(5, 900),
        pick(["EUR", "GBP", "JPY"]),
        pick(["USD", "CHF", "INR"]),
        number(50, 400) / 100,
      ];
      return {
        ask: pick([`How much is ${amount} ${from} in ${to}?`, `Convert ${amount} ${from} to ${to}.`]),
        args: { amount, from, to },
        result: { rate, amount: Math.round(amount * rate * 100) / 100 },
        say: `${amount} ${from} are ${(amount * rate).toFixed(2)} ${to} at a rate of ${rate}.`,
      };
    },
  },
  {
    tool: tool(
      "add_to_cart",
      "Puts a product into the basket.",
      { product: text("What"), quantity: { type: "integer", minimum: 1 } },
      ["product", "quantity"],
    ),
    make: ({ pick, number }) => {
      const [product, quantity] = [pick(things), number(1, 4)];
      return {
        ask: `Order ${product}${quantity > 1 ? `, ${quantity} times` : ""}, please.`,
        args: { product: product.replace(/^(a|two) /, ""), quantity },
        result: { ok: true, total: number(900, 19000) / 100, currency: "EUR" },
        say: `It is in your basket. Shall I check out?`,
      };
    },
  },
  {
    tool: tool(
      "send_message",
      "Sends a message to a contact.",
      { to: text("Name of the contact"), body: text("Text") },
      ["to", "body"],
    ),
    make: ({ pick, number }) => {
      const [who, minutes] = [pick(people), number(5, 45)];
      return {
        ask: pick([
          `Tell ${who} I'm ${minutes} minutes late.`,
          `Write to ${who}: the train is delayed by ${minutes} minutes.`,
        ]),
        args: { to: who, body: `I am running about ${minutes} minutes late. Sorry!` },
        result: { delivered: true },
        say: `${who} knows that you will be ${minutes} minutes late.`,
      };
    },
  },
];

function helpers(random) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const number = (from, to) => from + Math.floor(random() * (to - from + 1));
  return { pick, number, random };
}

/** One conversation with tools: one or two calls, now and then one that needs none. */
export function toolConversation(seed) {
  const random = helpers(randomFrom(seed));
  const offered = [...uses].sort(() => random.random() - 0.5).slice(0, random.number(2, 4));
  const messages = [];
  if (random.random() < 0.5) {
    messages.push({
      role: "system",
      content: random.pick([
        "You are a helpful assistant.",
        "Answer briefly. Use the tools when they help.",
        "You help the staff of a small company.",
      ]),
    });
  }
  if (random.random() < 0.15) {
    messages.push({
      role: "user",
      content: random.pick(["Thanks, that is all.", "What can you do?", "Hello!"]),
    });
    const names = offered.map(({ tool }) => tool.function.name.replaceAll("_", " ")).join(", ");
    messages.push({ role: "assistant", content: `I can help with: ${names}. What would you like to do?` });
  }
  for (let turn = 0; turn < random.number(1, 2); turn++) {
    const { tool: called, make } = random.pick(offered);
    const { ask, args, result, say } = make(random);
    const id = `call_${seed}_${turn}`;
    messages.push(
      { role: "user", content: ask },
      {
        role: "assistant",
        content: "",
        tool_calls: [
          { id, type: "function", function: { name: called.function.name, arguments: JSON.stringify(args) } },
        ],
      },
      { role: "tool", tool_call_id: id, name: called.function.name, content: JSON.stringify(result) },
      { role: "assistant", content: say },
    );
  }
  return { messages, tools: offered.map(({ tool }) => tool) };
}

/** One conversation without tools. */
export function chatConversation(seed) {
  const random = helpers(randomFrom(seed ^ 0x5bd1e995));
  const { pick, number } = random;
  const [a, b, c] = [number(12, 980), number(3, 97), number(2, 40)];
  const [who, city, topic] = [pick(people), pick(cities), pick(topics)];
  const kinds = [
    () => [
      `What is ${a} times ${b}? Show how you get there.`,
      `${a} × ${b} = ${a} × ${b - (b % 10)} + ${a} × ${b % 10} = ${a * (b - (b % 10))} + ${a * (b % 10)} = **${a * b}**.`,
    ],
    () => [
      `Extract name, city and amount as JSON: "${who} from ${city} paid ${a}.${String(b).padStart(2, "0")} euros on Monday."`,
      `\`\`\`json\n${JSON.stringify({ name: who, city, amount: Number(`${a}.${String(b).padStart(2, "0")}`) }, undefined, 2)}\n\`\`\``,
    ],
    () => [
      `Explain ${topic} to a ten-year-old in three sentences.`,
      `Think of ${topic} as something that follows a few simple rules. When you watch long enough, you see the same pattern again and again. People learned these patterns by trying things out and writing down what happened.`,
    ],
    () => [
      `Write a polite email to ${who} moving our meeting from ${c % 12 || 12}:00 to ${(c % 12) + 1}:30.`,
      `Subject: Moving our meeting\n\nDear ${who},\n\nwould it suit you to meet at ${(c % 12) + 1}:30 instead of ${c % 12 || 12}:00? Something came up that I cannot move. If the new time does not work, please suggest another.\n\nThank you for understanding,\nBest regards`,
    ],
    () => [
      `A train leaves ${city} at 9:00 at ${b} km/h. How far is it after ${c} minutes?`,
      `In ${c} minutes, which is ${(c / 60).toFixed(3)} hours, it travels ${b} × ${(c / 60).toFixed(3)} = ${((b * c) / 60).toFixed(1)} km.`,
    ],
    () => [
      `Sort these and remove duplicates: ${[a, b, c, b, a + c].join(", ")}`,
      [...new Set([a, b, c, b, a + c])].sort((x, y) => x - y).join(", "),
    ],
    () => [
      `Write a SQL query for the ${c} customers of ${city} who spent the most in the last ${b} days.`,
      `\`\`\`sql\nSELECT c.id, c.name, SUM(o.total) AS spent\nFROM customers AS c\nJOIN orders AS o ON o.customer_id = c.id\nWHERE c.city = '${city}'\n  AND o.created_at >= CURRENT_DATE - INTERVAL '${b} days'\nGROUP BY c.id, c.name\nORDER BY spent DESC\nLIMIT ${c};\n\`\`\``,
    ],
    () => [
      `Rewrite in one sentence: "${who} was late. It rained. The bus did not come. ${who} walked from ${city} station."`,
      `Because it rained and the bus did not come, ${who} walked from ${city} station and was late.`,
    ],
    () => [
      `Give me a bash one-liner that finds files over ${a} MB changed in the last ${c} days.`,
      `\`\`\`sh\nfind . -type f -size +${a}M -mtime -${c} -exec ls -lh {} +\n\`\`\`\n\n\`-size +${a}M\` takes files larger than ${a} MiB, \`-mtime -${c}\` those changed within ${c} days.`,
    ],
    () => [
      `Plan two days in ${city} for someone who likes ${topic}.`,
      `**Day 1**\n- Morning: walk through the old town of ${city}.\n- Afternoon: a museum with something on ${topic}.\n- Evening: dinner near the river or the harbour.\n\n**Day 2**\n- Morning: the market, early.\n- Afternoon: a talk or workshop on ${topic}, if there is one.\n- Evening: a concert.`,
    ],
  ];
  const messages = [];
  for (let turn = 0; turn < number(1, 3); turn++) {
    const [question, answer] = pick(kinds)();
    messages.push({ role: "user", content: question }, { role: "assistant", content: answer });
  }
  return { messages };
}
