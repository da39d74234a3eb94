/** The words of the page, in the reader's language. All languages have the same keys (a test holds them together). */

import { recall, remember } from "/common/memory.js";

const en = {
  "language": "Language",
  "theme.system": "Theme: as the system",
  "theme.light": "Theme: light",
  "theme.dark": "Theme: dark",
  "skip": "Skip to the message box",
  "new": "New conversation",
  "talk": "Conversation",
  "list": "Conversations",
  "list.empty": "No conversations yet. They are kept in this browser only.",
  "list.delete": "Delete “{title}”",
  "list.sure": "Delete “{title}”? It is kept nowhere else.",
  "untitled": "New conversation",
  "model": "Model",
  "model.other": "Second model",
  "models.none": "The server has no models.",
  "compare": "Compare",
  "compare.hint": "Two models answer; their names are shown once you have picked.",
  "compare.best": "Which reply is better?",
  "compare.a": "A is better",
  "compare.b": "B is better",
  "compare.tie": "Equally good",
  "compare.reply": "Reply {letter}",
  "compare.revealed": "A was {a}, B was {b}. You go on with {letter}.",
  "compare.first": "Pick a reply to go on.",
  "settings": "Settings",
  "system": "System prompt",
  "system.hint": "Of this conversation; what the model is told before it begins.",
  "temperature": "Temperature",
  "top_p": "Top p",
  "max_tokens": "Most tokens in a reply",
  "seed": "Seed",
  "seed.hint": "The same seed and text give the same reply. Empty: a new one each time.",
  "empty.hint": "Empty: what the server does by itself.",
  "key": "API key",
  "key.hint": "If the server asks for one. It is forgotten when this tab is closed.",
  "apply": "Apply",
  "close": "Close",
  "cancel": "Cancel",
  "welcome": "What would you like to ask?",
  "message": "Message",
  "message.hint": "Enter sends, Shift+Enter makes a new line, Esc stops, / comes here.",
  "send": "Send",
  "stop": "Stop",
  "you": "You",
  "regenerate": "Regenerate",
  "edit": "Edit",
  "edit.box": "The message anew",
  "edit.send": "Send as a new branch",
  "copy": "Copy",
  "copied": "Copied.",
  "code.copy": "Copy code",
  "before": "Previous version",
  "after": "Next version",
  "version": "Version {at} of {n}",
  "writing": "The model is writing.",
  "stopped": "Stopped.",
  "cut": "Cut off at the most tokens allowed.",
  "failed": "No reply: {why}",
  "failed.away": "the server cannot be reached",
  "failed.broken": "the connection broke off",
  "failed.key": "the server asks for a valid API key (see Settings)",
};

const zhHans = {
  "language": "语言",
  "theme.system": "主题：跟随系统",
  "theme.light": "主题：浅色",
  "theme.dark": "主题：深色",
  "skip": "跳到输入框",
  "new": "新对话",
  "talk": "对话",
  "list": "对话列表",
  "list.empty": "还没有对话。对话只保存在此浏览器中。",
  "list.delete": "删除“{title}”",
  "list.sure": "删除“{title}”？别处没有保存。",
  "untitled": "新对话",
  "model": "模型",
  "model.other": "第二个模型",
  "models.none": "服务器上没有模型。",
  "compare": "比较",
  "compare.hint": "两个模型同时回答；选择之后才显示它们的名称。",
  "compare.best": "哪个回答更好？",
  "compare.a": "A 更好",
  "compare.b": "B 更好",
  "compare.tie": "一样好",
  "compare.reply": "回答 {letter}",
  "compare.revealed": "A 是 {a}，B 是 {b}。对话从 {letter} 继续。",
  "compare.first": "请先选择一个回答。",
  "settings": "设置",
  "system": "系统提示",
  "system.hint": "属于此对话；模型开始之前读到的内容。",
  "temperature": "温度",
  "top_p": "核采样 top p",
  "max_tokens": "回答的最多词元数",
  "seed": "随机种子",
  "seed.hint": "同样的种子和文字得到同样的回答。留空则每次不同。",
  "empty.hint": "留空则由服务器决定。",
  "key": "API 密钥",
  "key.hint": "仅当服务器要求时填写。关闭此标签页后即被忘记。",
  "apply": "应用",
  "close": "关闭",
  "cancel": "取消",
  "welcome": "想问些什么？",
  "message": "消息",
  "message.hint": "回车发送，Shift+回车换行，Esc 停止，/ 回到这里。",
  "send": "发送",
  "stop": "停止",
  "you": "您",
  "regenerate": "重新生成",
  "edit": "编辑",
  "edit.box": "修改后的消息",
  "edit.send": "作为新分支发送",
  "copy": "复制",
  "copied": "已复制。",
  "code.copy": "复制代码",
  "before": "上一个版本",
  "after": "下一个版本",
  "version": "第 {at} 个版本，共 {n} 个",
  "writing": "模型正在回答。",
  "stopped": "已停止。",
  "cut": "已达到词元数上限，回答被截断。",
  "failed": "没有回答：{why}",
  "failed.away": "无法连接服务器",
  "failed.broken": "连接中断",
  "failed.key": "服务器要求有效的 API 密钥（见“设置”）",
};

const WORDS = { en, "zh-Hans": zhHans };

/** Languages by the name that they call themselves. */
export const LANGUAGES = { en: "English", "zh-Hans": "简体中文" };

let language = first();

function first() {
  const kept = recall("language");
  if (kept in WORDS) return kept;
  return (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh-Hans" : "en";
}

export const currentLanguage = () => language;

/** Change it, and remember it in this browser. */
export function useLanguage(name) {
  language = name;
  remember("language", name);
  document.documentElement.lang = name;
}

/** The words for a key; `{name}` is filled from `values`. */
export function t(key, values = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}
