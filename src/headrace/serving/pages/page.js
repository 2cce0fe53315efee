"use strict";
const post = (path, body) =>
  fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body });
const took = (form, began, status) => {
  const text = Math.round(performance.now() - began) + " ms";
  form.querySelector(".took").textContent = status ? "status " + status + ", " + text : text;
};

for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = form.querySelector(".answer");
    const button = form.querySelector("button");
    const began = performance.now();
    button.disabled = true;
    try {
      const reply = await post(form.dataset.path, form.querySelector("textarea").value);
      const text = await reply.text();
      took(form, began, reply.status);
      answer.classList.toggle("bad", !reply.ok);
      try {
        answer.textContent = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        answer.textContent = text;
      }
    } catch (error) {
      answer.classList.add("bad");
      answer.textContent = "The server cannot be reached: " + error.message;
    }
    answer.hidden = false;
    button.disabled = false;
  });
}

const say = (talk, who, text) => {
  const line = document.createElement("p");
  line.className = who;
  line.textContent = text;
  talk.append(line);
  return line;
};

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

for (const form of document.querySelectorAll("form.chat")) {
  const messages = [];
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = form.querySelector("input");
    const button = form.querySelector("button");
    const talk = form.querySelector(".talk");
    if (!input.value) return;
    const began = performance.now();
    messages.push({ role: "user", content: input.value });
    say(talk, "user", input.value);
    const line = say(talk, "assistant", "");
    input.value = "";
    button.disabled = true;
    try {
      const body = { model: form.dataset.model, messages, stream: true };
      const reply = await post("/v1/chat/completions", JSON.stringify(body));
      if (!reply.ok) throw new Error((await reply.json()).error.message);
      for await (const chunk of events(reply)) {
        if (chunk.error) throw new Error(chunk.error.message);
        const delta = chunk.choices.length ? chunk.choices[0].delta : {};
        line.textContent += delta.content || "";
      }
      messages.push({ role: "assistant", content: line.textContent });
    } catch (error) {
      messages.pop();
      line.className = "bad";
      line.textContent = error.message;
    }
    took(form, began, 0);
    button.disabled = false;
  });
}
