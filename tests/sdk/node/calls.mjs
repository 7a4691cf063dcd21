// Calls the vendor's SDK as it is published: a call per line of standard input, its outcome per line of output.
// The first line configures the client. A call is {"method": "mfa.verify", "options": {...}}.
import { createInterface } from "node:readline";
import { AuthClient, isMfaRequiredError } from "@auth0/auth0-auth-js";

function told(error) {
  const { name, code, message, statusCode, cause } = error;
  const { error: oauthError, error_description, mfa_token, mfa_requirements } = cause ?? {};
  const oauth = { error: oauthError, error_description, mfa_token, mfa_requirements };
  const isMfaRequired = isMfaRequiredError(error);
  return { name, code, message, statusCode, isMfaRequired, reason: cause?.code ?? cause?.cause?.code, ...oauth };
}

let client;
for await (const line of createInterface({ input: process.stdin })) {
  const { method, options } = JSON.parse(line);
  let outcome;
  try {
    if (method === "new") {
      client = new AuthClient(options);
      outcome = { value: null };
    } else {
      const [name, owner] = method.split(".").reverse();
      outcome = { value: (await (owner ? client[owner] : client)[name](options)) ?? null };
    }
  } catch (error) {
    outcome = { error: told(error) };
  }
  process.stdout.write(JSON.stringify(outcome) + "\n");
}
