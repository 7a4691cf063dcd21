// Calls node-auth0's ManagementClient as it is published: a call per line of standard input, its outcome per line of
// output. The first line configures the client. A call is {"method": "users.roles.list", "args": [...]}; of a list
// that has pages, the first answer and the items of all pages are told.
import { createInterface } from "node:readline";
import { ManagementClient, ManagementError } from "auth0";

async function told(result) {
  if (typeof result?.[Symbol.asyncIterator] !== "function") return result ?? null;
  const { response } = result;
  const items = [];
  for await (const item of result) items.push(item);
  return { response, items };
}

let client;
for await (const line of createInterface({ input: process.stdin })) {
  const { method, args } = JSON.parse(line);
  let outcome;
  try {
    if (method === "new") {
      client = new ManagementClient(args[0]);
      outcome = { value: null };
    } else {
      const path = method.split(".");
      const name = path.pop();
      const owner = path.reduce((found, part) => found[part], client);
      outcome = { value: await told(await owner[name](...args)) };
    }
  } catch (error) {
    const { statusCode, body, message } = error;
    const isManagementError = error instanceof ManagementError;
    outcome = { error: { name: error.constructor.name, isManagementError, statusCode, body, message } };
  }
  process.stdout.write(JSON.stringify(outcome) + "\n");
}
