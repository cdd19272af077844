#include "engine/chat/chat_families.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

// Marks, in the form of NormalizeJinja(). How templates end where nothing but the opening of an
// answer follows the turns; the last turn may have it in its loop, and other uses an EOS.
#define END(answer) "{%if add_generation_prompt%}{{" answer "}}{%endif%}$"
#define END_OR_EOS(answer) \
  "{%if add_generation_prompt%}{{" answer "}}{%else%}{{eos_token}}{%endif%}$"
#define LOOP_END(answer) \
  "{%if loop.last and add_generation_prompt%}{{" answer "}}{%endif%}{%endfor%}"
#define OR " || "

#define CHATML_TURN                                                        \
  "{{'<|im_start|>'+message.role+'\n'+message.content+'<|im_end|>\n'}}" OR \
  "{{'<|im_start|>'+message.role+'\n'+content+'<|im_end|>\n'}}"
#define CHATML_ANSWER "'<|im_start|>assistant\n'"
constexpr TurnForm kChatMlSystem = {"<|im_start|>system\n", "<|im_end|>\n"};
constexpr TurnForm kChatMlUser = {"<|im_start|>user\n", "<|im_end|>\n"};
constexpr TurnForm kChatMlAssistant = {"<|im_start|>assistant\n", "<|im_end|>\n"};

// Thoughts stay in the answers after the last question alone.
#define QWEN3_THOUGHT                                                                              \
  "{%if loop.index0>ns.last_query_index%}{%if loop.last or(not loop.last and reasoning_content)%}" \
  "{{'<|im_start|>'+message.role+'\n<think>\n'+reasoning_content.strip('\n')+'\n</think>\n\n'+"    \
  "content.lstrip('\n')}}{%else%}{{'<|im_start|>'+message.role+'\n'+content}}{%endif%}{%else%}"    \
  "{{'<|im_start|>'+message.role+'\n'+content}}{%endif%}"
#define QWEN3_END                                                    \
  "{%if add_generation_prompt%}{{" CHATML_ANSWER                     \
  "}}{%if enable_thinking is defined and enable_thinking is false%}" \
  "{{'<think>\n\n</think>\n\n'}}{%endif%}{%endif%}$"
constexpr ThoughtForm kQwen3Thought = {
    .begin = "<think>", .end = "</think>", .trim = Trim::kLeadingNewlines};
constexpr ThoughtForm kThinkTags = {.begin = "<think>", .end = "</think>"};
constexpr ThoughtForm kThinkTagsStay = {
    .begin = "<think>", .end = "</think>", .stays_in_history = true};

#define LLAMA3_SYSTEM "<|start_header_id|>system<|end_header_id|>\n\n"
// The date is the one that the template has where it is told none.
#define LLAMA31_PREFACE "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
#define LLAMA3_TURN                                                                               \
  "'<|start_header_id|>'+message.role+'<|end_header_id|>\n\n'+message.content|trim+'<|eot_id|>' " \
  "|| "                                                                                           \
  "'<|start_header_id|>'+message.role+'<|end_header_id|>\n\n'+message.content+'<|eot_id|>'"
#define LLAMA3_ANSWER "'<|start_header_id|>assistant<|end_header_id|>\n\n'"
constexpr TurnForm kLlama3System = {LLAMA3_SYSTEM, "<|eot_id|>", Trim::kBoth};
constexpr TurnForm kLlama31System = {LLAMA3_SYSTEM LLAMA31_PREFACE, "<|eot_id|>", Trim::kBoth};
constexpr TurnForm kLlama3User = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>",
                                  Trim::kBoth};
constexpr TurnForm kLlama3Assistant = {"<|start_header_id|>assistant<|end_header_id|>\n\n",
                                       "<|eot_id|>", Trim::kBoth};

#define OLMO3_NO_FUNCTIONS \
  "You do not currently have access to any functions. <functions></functions>"

#define DEEPSEEK_USER "{{'<｜User｜>'+message.content}}"
#define DEEPSEEK_END(think) \
  "{%if add_generation_prompt and not ns.is_tool%}{{'<｜Assistant｜>" think "'}}{%endif%}$"

#define DEEPSEEK_0324_USER                                \
  "{{'<｜User｜>'+message.content+'<｜Assistant｜>'}}" OR \
  "{{'<｜User｜>'+content+'<｜Assistant｜>'}}"
#define DEEPSEEK_0324_END                                                   \
  "{%if add_generation_prompt and not ns.is_last_user and not ns.is_tool%}" \
  "{{'<｜Assistant｜>'}}{%endif%}$"

#define PHI3_USER                                                   \
  "{{'<|user|>\n'+message.content+'<|end|>\n'}} || "                \
  "{{'<|user|>\n'+message.content+'<|end|>\n<|assistant|>\n'}} || " \
  "{{'<|'+message.role+'|>\n'+message.content+'<|end|>\n'}}"
#define PHI3_END           \
  END("'<|assistant|>\n'") \
  OR END_OR_EOS("'<|assistant|>\n'") OR "{{message.content+'<|end|>\n'}}{%endif%}{%endfor%}$"

#define GPT_OSS_OPEN                                                                           \
  "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"     \
  "Knowledge cutoff: 2024-06\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, " \
  "final. Channel must be included for every message.<|end|>"

#define GRANITE_SYSTEM "<|start_of_role|>system<|end_of_role|>"
constexpr TurnForm kGraniteSystem = {GRANITE_SYSTEM, "<|end_of_text|>\n"};
constexpr TurnForm kGraniteUser = {"<|start_of_role|>user<|end_of_role|>", "<|end_of_text|>\n"};
constexpr TurnForm kGraniteAssistant = {"<|start_of_role|>assistant<|end_of_role|>",
                                        "<|end_of_text|>\n"};

#define COMMAND_R_SYSTEM "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>"
constexpr TurnForm kCommandRSystem = {COMMAND_R_SYSTEM, "<|END_OF_TURN_TOKEN|>"};
constexpr TurnForm kCommandRUser = {"<|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
                                    "<|END_OF_TURN_TOKEN|>", Trim::kBoth};

#define KIMI_DEFAULT \
  "{%if loop.first and messages[0].role!='system'%}<|im_system|>system<|im_middle|>"
#define KIMI_END "{%if add_generation_prompt%}<|im_assistant|>assistant<|im_middle|>{%endif%}$"
constexpr TurnForm kKimiSystem = {"<|im_system|>system<|im_middle|>", "<|im_end|>"};
constexpr TurnForm kKimiUser = {"<|im_user|>user<|im_middle|>", "<|im_end|>"};
constexpr TurnForm kKimiAssistant = {"<|im_assistant|>assistant<|im_middle|>", "<|im_end|>"};

#define SMOLLM3_SYSTEM(mode)                                                                   \
  "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nReasoning Mode: " mode \
  "\n\n## Custom Instructions\n\n"
#define SMOLLM3_NAME "You are a helpful AI assistant named SmolLM, trained by Hugging Face."
// With thinking and without.
#define SMOLLM3_ROWS(family, mark, system_end)                                               \
  {.name = family,                                                                           \
   .marks = {"{{'## Metadata\n\n'}}{{'Knowledge Cutoff Date: June 2025\n'}}",                \
             "'" SMOLLM3_NAME "\n\n'", mark},                                                \
   .system = {SMOLLM3_SYSTEM("/think"), "\n\n" system_end, Trim::kRight},                    \
   .no_system = SMOLLM3_SYSTEM("/think") SMOLLM3_NAME "\n\n" system_end,                     \
   .default_open = "{%elif reasoning_mode=='/think'%}{{'",                                   \
   .default_close = system_end,                                                              \
   .skips_empty_system = true,                                                               \
   .user = kChatMlUser,                                                                      \
   .assistant = {"<|im_start|>assistant\n", "<|im_end|>\n", Trim::kLeadingNewlines},         \
   .thought = kThinkTagsStay,                                                                \
   .answer = "<|im_start|>assistant\n",                                                      \
   .no_think = family "-no-think"},                                                          \
  {                                                                                          \
    .name = family "-no-think", .marks = {"by name alone"},                                  \
    .system = {SMOLLM3_SYSTEM("/no_think"), "\n\n" system_end, Trim::kRight},                \
    .no_system = SMOLLM3_SYSTEM("/no_think") SMOLLM3_NAME "\n\n" system_end,                 \
    .skips_empty_system = true, .user = kChatMlUser,                                         \
    .assistant = {"<|im_start|>assistant\n<think>\n\n</think>\n", "<|im_end|>\n",            \
                  Trim::kLeadingNewlines},                                                   \
    .answer = "<|im_start|>assistant\n<think>\n\n</think>\n", .no_think = family "-no-think" \
  }

// Where a template could be of two, the more special one comes first.
constexpr ChatFamily kFamilies[] = {
    {.name = "phi4",
     .marks = {"{{'<|im_start|>user<|im_sep|>'+message.content+'<|im_end|>'}} || "
               "{{'<|im_start|>user<|im_sep|>'+message.content+'<|im_end|><|im_start|>assistant"
               "<|im_sep|>'}}",
               END("'<|im_start|>assistant<|im_sep|>'") OR
               "{{message.content+'<|im_end|>'}}{%endif%}{%endfor%}$",
               "!<think>"},
     .system = {"<|im_start|>system<|im_sep|>", "<|im_end|>"},
     .user = {"<|im_start|>user<|im_sep|>", "<|im_end|>"},
     .assistant = {"<|im_start|>assistant<|im_sep|>", "<|im_end|>"},
     .answer = "<|im_start|>assistant<|im_sep|>"},
    {.name = "olmo3-think",
     .marks = {"'<|im_start|>system\n'+message.content}}",
               "{{' " OLMO3_NO_FUNCTIONS "<|im_end|>\n'}}",
               LOOP_END("'<|im_start|>assistant\n<think>'") "$"},
     .system = {"<|im_start|>system\n", " " OLMO3_NO_FUNCTIONS "<|im_end|>\n"},
     .default_open = "<|im_start|>system\n",
     .default_close = "<|im_end|>\n",
     .user = kChatMlUser,
     .assistant = kChatMlAssistant,
     .thought = kThinkTagsStay,
     .answer = "<|im_start|>assistant\n<think>"},
    {.name = "olmo3",
     .marks = {"'<|im_start|>system\n'+message.content}}",
               "{{'" OLMO3_NO_FUNCTIONS "<|im_end|>\n'}}", LOOP_END(CHATML_ANSWER) "$"},
     .system = kChatMlSystem,
     .default_open = "<|im_start|>system\n",
     .default_close = OLMO3_NO_FUNCTIONS "<|im_end|>\n",
     .user = kChatMlUser,
     .assistant = kChatMlAssistant,
     .answer = "<|im_start|>assistant\n"},
    // The publisher's template leaves the end of the system turn out where there are no tools.
    SMOLLM3_ROWS("smollm3", "{%if xml_tools or python_tools or tools%}", ""),
    SMOLLM3_ROWS("smollm3-unsloth", "\n\n'}}{%endif%}{{'<|im_end|>\n'}}", "<|im_end|>\n"),
    {.name = "qwq",
     .marks =
         {CHATML_TURN,
          "{%if not loop.last%}{%set content=message.content.split('</think>')[-1].lstrip('\n')",
          END("'<|im_start|>assistant\n<think>\n'")},
     .system = kChatMlSystem,
     .user = kChatMlUser,
     .assistant = {kChatMlAssistant.open, kChatMlAssistant.close, Trim::kLeadingNewlines},
     .thought = kQwen3Thought,
     .answer = "<|im_start|>assistant\n<think>\n",
     .later_system = true},
    {.name = "qwen3-thinking",
     .marks = {CHATML_TURN, QWEN3_THOUGHT, "!not messages or",
               END("'<|im_start|>assistant\n<think>\n'")},
     .system = kChatMlSystem,
     .default_open = "<|im_start|>system\n",
     .default_close = "<|im_end|>\n",
     .user = kChatMlUser,
     .assistant = kChatMlAssistant,
     .thought = kQwen3Thought,
     .answer = "<|im_start|>assistant\n<think>\n",
     .later_system = true},
    {.name = "qwen3",
     .marks = {CHATML_TURN, QWEN3_THOUGHT,
               "!detailed thinking || set enable_thinking=", END(CHATML_ANSWER) OR QWEN3_END},
     .system = kChatMlSystem,
     .default_open = "<|im_start|>system\n",
     .default_close = "<|im_end|>\n",
     .user = kChatMlUser,
     .assistant = kChatMlAssistant,
     .thought = kQwen3Thought,
     .answer = "<|im_start|>assistant\n",
     .later_system = true},
    {.name = "qwen3-coder",
     .marks = {CHATML_TURN, "{{'<|im_start|>system\n'+system_message}}{%else%}{%if tools",
               END(CHATML_ANSWER)},
     .system = kChatMlSystem,
     .user = kChatMlUser,
     .assistant = kChatMlAssistant,
     .answer = "<|im_start|>assistant\n",
     .later_system = true},
    {.name = "stablelm2",
     .marks = {CHATML_TURN,
               "{%if loop.index0==0%}{{'<|im_start|>system\n'+system_message+'<|im_end|>\n'}}",
               END(CHATML_ANSWER), "!<s>"},
     .system = kChatMlSystem,
     .default_open = "set system_message='",
     .default_close = "<|im_end|>\n",
     .user = kChatMlUser,
     .assistant = kChatMlAssistant,
     .answer = "<|im_start|>assistant\n",
     .later_system = true},
    {.name = "chatml",
     .marks = {CHATML_TURN, END(CHATML_ANSWER),
               "!</think> || system_message || sys_prompt || <s> || +messages%} || persona || "
               "{%generation%}"},
     .system = kChatMlSystem,
     .default_open = "<|im_start|>system\n",
     .default_close = "<|im_end|>\n",
     .user = kChatMlUser,
     .assistant = kChatMlAssistant,
     .answer = "<|im_start|>assistant\n",
     .later_system = true},
    {.name = "llama2",
     .marks = {"{{raise_exception('Conversation roles must alternate "
               "user/assistant/user/assistant/...')}}"
               "{%endif%}{%if loop.index0==0 and system_message!=false%}{%set content='<<SYS>>\n'",
               "{{bos_token+'[INST] '+content.strip()+' [/INST]'}} || "
               "{{bos_token+'[INST] '+content|trim+' [/INST]'}}",
               "{{' '+content.strip()+' '+eos_token}}{%endif%}{%endfor%}$ || "
               "{{' '+content|trim+' '+eos_token}}{%endif%}{%endfor%}$"},
     .system = {"<<SYS>>\n", "\n<</SYS>>\n\n"},
     .user = {"{bos}[INST] ", " [/INST]", Trim::kBoth},
     .assistant = {" ", " {eos}", Trim::kBoth},
     .place = SystemPlace::kFirstUser,
     .alternates = true,
     .starts_with_bos = true,
     .trims_joined = true},
    {.name = "mistral-v7",
     .marks = {"{{'[INST] '+message.content+'[/INST]'}}",
               "{{'[SYSTEM_PROMPT] '+message.content+'[/SYSTEM_PROMPT]'}}",
               "{{' '+message.content+eos_token}}"},
     .system = {"[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"},
     .user = {"[INST] ", "[/INST]"},
     .assistant = {" ", "{eos}"},
     .later_system = true,
     .starts_with_bos = true},
    // Where a default system message tells the day's date, none takes its place.
    {.name = "mistral-v7-tekken",
     .marks = {"{{'[INST]'+message.content+'[/INST]'}} || "
               "{{'[INST]'}}{%if message.content is string%}{{message.content}}{%else%}",
               "'[SYSTEM_PROMPT]'",
               "{{message.content+eos_token}}{%" OR
               "{%elif message.role=='assistant'%}{%if message.content is string%}"
               "{{message.content}}{%else%}{{message.content[0].text}}{%endif%}",
               "![THINK]"},
     .system = {"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"},
     .default_open = "set default_system_message='",
     .default_close = "[/SYSTEM_PROMPT]",
     .user = {"[INST]", "[/INST]"},
     .assistant = {"", "{eos}"},
     .starts_with_bos = true},
    {.name = "mistral-v1",
     .marks = {"{{' [INST] '+system_message+'\n\n'+message.content+' [/INST]'}}",
               "{{' [INST] '+message.content+' [/INST]'}}", "{{' '+message.content+eos_token}}"},
     .system = {"", "\n\n"},
     .user = {" [INST] ", " [/INST]"},
     .assistant = {" ", "{eos}"},
     .place = SystemPlace::kFirstUser,
     .alternates = true,
     .starts_with_bos = true},
    {.name = "mistral-v3",
     .marks = {"{%if loop.last and system_message is defined%}{{'[INST] '+system_message+'\n\n'+"
               "message.content+'[/INST]'}}",
               "{{' '+message.content|trim+eos_token}}{% || {{' '+message.content+eos_token}}{%"},
     .system = {"", "\n\n"},
     .user = {"[INST] ", "[/INST]"},
     .assistant = {" ", "{eos}", Trim::kBoth},
     .place = SystemPlace::kLastUser,
     .alternates = true,
     .starts_with_bos = true},
    {.name = "mistral-v3-tekken",
     .marks = {"{%if loop.last and system_message is defined%}{{'[INST]'+system_message+'\n\n'+"
               "message.content+'[/INST]'}}",
               "{{message.content+eos_token}}{%"},
     .system = {"", "\n\n"},
     .user = {"[INST]", "[/INST]"},
     .assistant = {"", "{eos}"},
     .place = SystemPlace::kLastUser,
     .alternates = true,
     .starts_with_bos = true},
    {.name = "mistral-v0.1",
     .marks = {"{{'[INST] '+message.content+' [/INST]'}}", "{{message.content+eos_token+' '}}"},
     .system = {"", "\n\n"},
     .user = {"[INST] ", " [/INST]"},
     .assistant = {"", "{eos} "},
     .place = SystemPlace::kFirstUser,
     .alternates = true,
     .starts_with_bos = true},
    {.name = "mistral-v0.2",
     .marks = {"{{'[INST] '+message.content+' [/INST]'}}", "{{message.content+eos_token}}",
               "!'system'"},
     .system = {"", "\n\n"},
     .user = {"[INST] ", " [/INST]"},
     .assistant = {"", "{eos}"},
     .place = SystemPlace::kFirstUser,
     .alternates = true,
     .starts_with_bos = true},
    {.name = "llama3.1",
     .marks = {LLAMA3_TURN, "{%set system_message=''%}{%endif%}",
               "{{'Cutting Knowledge Date: December 2023\n'}}{{'Today Date: '+date_string+'\n\n'}}",
               END(LLAMA3_ANSWER)},
     .system = kLlama31System,
     .no_system = LLAMA3_SYSTEM LLAMA31_PREFACE "<|eot_id|>",
     .user = kLlama3User,
     .assistant = kLlama3Assistant,
     .answer = kLlama3Assistant.open,
     .starts_with_bos = true,
     .bos = "<|begin_of_text|>",
     .eos = "<|eot_id|>"},
    {.name = "llama3",
     .marks = {LLAMA3_TURN, END(LLAMA3_ANSWER) OR "{{content}}{%endfor%}{{" LLAMA3_ANSWER "}}$",
               "!Date: || system_message || strftime || loop.first and || {%macro"},
     .system = kLlama3System,
     .user = kLlama3User,
     .assistant = kLlama3Assistant,
     .answer = kLlama3Assistant.open,
     .later_system = true,
     .starts_with_bos = true,
     .bos = "<|begin_of_text|>",
     .eos = "<|eot_id|>"},
    {.name = "gemma",
     .marks = {"{{'<start_of_turn>'+role+'\n'+", "message.content|trim",
               "first_user_prefix=messages[0].content+'\n\n' || System role not supported",
               END("'<start_of_turn>model\n'")},
     .system = {"", "\n\n"},
     .user = {"<start_of_turn>user\n", "<end_of_turn>\n", Trim::kBoth},
     .assistant = {"<start_of_turn>model\n", "<end_of_turn>\n", Trim::kBoth},
     .answer = "<start_of_turn>model\n",
     .place = SystemPlace::kFirstUser,
     .alternates = true,
     .starts_with_bos = true,
     .bos = "<bos>",
     .eos = "<eos>"},
    {.name = "command-r7b",
     .marks =
         {"{{'<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>'+system_message+'<|END_OF_TURN_TOKEN|>'}}",
          END("'<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>'") " || {%if "
                                                                              "add_generation_"
                                                                              "prompt%}{{'<|START_"
                                                                              "OF_TURN_TOKEN|><|"
                                                                              "CHATBOT_TOKEN|><|"
                                                                              "START_RESPONSE|>'}}{"
                                                                              "%endif%}{%endif%}$"},
     .system = kCommandRSystem,
     .no_system = COMMAND_R_SYSTEM "<|END_OF_TURN_TOKEN|>",
     .user = kCommandRUser,
     .assistant = {"<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>",
                   "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>", Trim::kBoth},
     .answer = "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>",
     .alternates = true,
     .starts_with_bos = true},
    {.name = "command-r",
     .marks =
         {"{{'<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>'+system_message+'<|END_OF_TURN_TOKEN|>'}}",
          END("'<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>'")},
     .system = kCommandRSystem,
     .user = kCommandRUser,
     .assistant = {"<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>",
                   Trim::kBoth},
     .answer = "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
     .alternates = true,
     .starts_with_bos = true},
    {.name = "openchat",
     .marks = {"{{'GPT4 Correct '+message.role.title()+': '+message.content+'<|end_of_turn|>'}}",
               END("'GPT4 Correct Assistant:'")},
     .system = {"GPT4 Correct System: ", "<|end_of_turn|>"},
     .user = {"GPT4 Correct User: ", "<|end_of_turn|>"},
     .assistant = {"GPT4 Correct Assistant: ", "<|end_of_turn|>"},
     .answer = "GPT4 Correct Assistant:",
     .later_system = true,
     .starts_with_bos = true},
    {.name = "gpt-oss-safeguard",
     .marks = {"model_identity='You are ChatGPT, a large language model trained by OpenAI.'",
               "{%set reasoning_effort='medium'%}", "{%if tools%}{{'\nCalls to these tools must go",
               "{{'<|start|>system<|message|>'}}{{build_system_message()}}{{'<|end|>'}}",
               "{{'# Instructions\n\n'}}{{developer_message}}{%endif%}",
               "{%if add_generation_prompt%}<|start|>assistant{%endif%}$"},
     .open = GPT_OSS_OPEN,
     .system = {"<|start|>developer<|message|># Instructions\n\n", "<|end|>"},
     .skips_empty_system = true,
     .user = {"<|start|>user<|message|>", "<|end|>"},
     .assistant = {"<|start|>assistant<|channel|>final<|message|>", "<|end|>"},
     .thought = {.begin = "<|channel|>analysis<|message|>",
                 .between = "<|end|><|start|>assistant",
                 .end = "<|channel|>final<|message|>"},
     .answer = "<|start|>assistant"},
    {.name = "gpt-oss",
     .marks = {"model_identity='You are ChatGPT, a large language model trained by OpenAI.'",
               "{%set reasoning_effort='medium'%}", "{%if tools%}{{'\nCalls to these tools must go",
               "{{'<|start|>system<|message|>'}}{{build_system_message()}}{{'<|end|>'}}",
               "{{'# Instructions\n\n'}}{{developer_message}}{{'\n\n'}}{%endif%}",
               "{%if add_generation_prompt%}<|start|>assistant{%endif%}$"},
     .open = GPT_OSS_OPEN,
     .system = {"<|start|>developer<|message|># Instructions\n\n", "\n\n<|end|>"},
     .skips_empty_system = true,
     .user = {"<|start|>user<|message|>", "<|end|>"},
     .assistant = {"<|start|>assistant<|channel|>final<|message|>", "<|end|>"},
     .thought = {.begin = "<|channel|>analysis<|message|>",
                 .between = "<|end|><|start|>assistant",
                 .end = "<|channel|>final<|message|>"},
     .answer = "<|start|>assistant"},
    {.name = "phi4-mini",
     .marks = {"'<|'+message.role+'|>'+message.content+'<|end|>'}}",
               END("'<|assistant|>'") OR END_OR_EOS("'<|assistant|>'"), "!Your name is Phi"},
     .system = {"<|system|>", "<|end|>"},
     .user = {"<|user|>", "<|end|>"},
     .assistant = {"<|assistant|>", "<|end|>"},
     .answer = "<|assistant|>",
     .later_system = true},
    {.name = "phi3.5",
     .marks = {PHI3_USER, "{%if message.role=='system'and message.content%}", PHI3_END},
     .system = {"<|system|>\n", "<|end|>\n"},
     .skips_empty_system = true,
     .user = {"<|user|>\n", "<|end|>\n"},
     .assistant = {"<|assistant|>\n", "<|end|>\n"},
     .answer = "<|assistant|>\n",
     .later_system = true},
    {.name = "phi3",
     .marks = {PHI3_USER, PHI3_END},
     .system = {"<|system|>\n", "<|end|>\n"},
     .user = {"<|user|>\n", "<|end|>\n"},
     .assistant = {"<|assistant|>\n", "<|end|>\n"},
     .answer = "<|assistant|>\n"},
    // Without "Today's Date: ...".
    {.name = "granite3.3",
     .marks = {"!safety agent",
               "system_message='Knowledge Cutoff Date: April 2024. Today's Date: '+strftime_now",
               "'. You are Granite, developed by IBM.'",
               "{{'" GRANITE_SYSTEM "'+system_message+'<|end_of_text|>\n'}}"},
     .system = kGraniteSystem,
     .no_system = GRANITE_SYSTEM
     "Knowledge Cutoff Date: April 2024. You are Granite, developed by IBM. You are a helpful AI "
     "assistant.<|end_of_text|>\n",
     .user = kGraniteUser,
     .assistant = kGraniteAssistant,
     .answer = kGraniteAssistant.open,
     .later_system = true},
    {.name = "granite3.1",
     .marks = {"!safety agent",
               "system_message='Knowledge Cutoff Date: April 2024.\nToday's Date: '+strftime_now",
               "'.\nYou are Granite, developed by IBM.'",
               "{{'" GRANITE_SYSTEM "'+system_message+'<|end_of_text|>\n'}}"},
     .system = kGraniteSystem,
     .no_system = GRANITE_SYSTEM
     "Knowledge Cutoff Date: April 2024.\nYou are Granite, developed by IBM. You are a helpful AI "
     "assistant.<|end_of_text|>\n",
     .user = kGraniteUser,
     .assistant = kGraniteAssistant,
     .answer = kGraniteAssistant.open,
     .later_system = true},
    {.name = "granite4.1",
     .marks = {"{{'" GRANITE_SYSTEM "'+ns.system_message+'<|end_of_text|>\n'}}{%endif%}{%for",
               END("'<|start_of_role|>assistant<|end_of_role|>'"),
               "!default_system_message || <image>"},
     .system = kGraniteSystem,
     .skips_empty_system = true,
     .user = kGraniteUser,
     .assistant = kGraniteAssistant,
     .answer = kGraniteAssistant.open,
     .later_system = true},
    {.name = "granite4",
     .marks = {"g4_default_system_message='", "!<image>",
               END("'<|start_of_role|>assistant<|end_of_role|>'"),
               "{{'" GRANITE_SYSTEM "'+ns.default_system_message+'<|end_of_text|>\n'}}"},
     .system = kGraniteSystem,
     .default_open = "g4_default_system_message='",
     .default_close = "<|end_of_text|>\n",
     .skips_empty_system = true,
     .user = kGraniteUser,
     .assistant = kGraniteAssistant,
     .answer = kGraniteAssistant.open,
     .later_system = true},
    {.name = "granite",
     .marks = {"{{'" GRANITE_SYSTEM "'+message.content+'<|end_of_text|>\n'}}",
               LOOP_END("'<|start_of_role|>assistant<|end_of_role|>'") "$"},
     .system = kGraniteSystem,
     .user = kGraniteUser,
     .assistant = kGraniteAssistant,
     .answer = kGraniteAssistant.open,
     .later_system = true},
    {.name = "glm4",
     .marks = {"[gMASK]<sop>{%if tools%}", "<|system|>\n{{msg.content}}",
               "{%if role=='user'%}<|user|>\n{{content}}",
               "{%if add_generation_prompt%}<|assistant|>{%endif%}$"},
     .open = "[gMASK]<sop>",
     .system = {"<|system|>\n"},
     .user = {"<|user|>\n"},
     .assistant = {"<|assistant|>\n"},
     .answer = "<|assistant|>"},
    {.name = "glm-z1",
     .marks = {"[gMASK]<sop>{%if tools%}", "<|system|>\n{{msg.content}}",
               "{%if role=='user'%}<|user|>\n{{visible}}",
               "{%if add_generation_prompt%}<|assistant|>\n<think>{%endif%}$"},
     .open = "[gMASK]<sop>",
     .system = {"<|system|>\n"},
     .user = {"<|user|>\n", "", Trim::kBoth},
     .assistant = {"<|assistant|>\n", "", Trim::kBoth},
     .thought = kThinkTags,
     .answer = "<|assistant|>\n<think>"},
    {.name = "ernie4.5",
     .marks = {"cls_token='<|begin_of_sentence|>'", "{{'User: '+message.content+'\n'}}",
               "{{'Assistant: '+message.content+sep_token}}", END("'Assistant: '")},
     .open = "<|begin_of_sentence|>",
     .system = {"", "\n"},
     .user = {"User: ", "\n"},
     .assistant = {"Assistant: ", "<|end_of_sentence|>"},
     .answer = "Assistant: ",
     .later_system = true},
    {.name = "hunyuan-dense",
     .marks = {"{{'<｜hy_User｜>'+message.content+'<｜hy_Assistant｜>'}}",
               "{%if ns.system_prompt!=''or tools%}{{'<｜hy_place▁holder▁no▁3｜>'}}{%endif%}",
               "!split('</think>')"},
     .system = {"", "<｜hy_place▁holder▁no▁3｜>"},
     .skips_empty_system = true,
     .user = {"<｜hy_User｜>", "<｜hy_Assistant｜>"},
     .assistant = {"", "{eos}"},
     .thought = {.end = "<answer>", .answer_end = "</answer>", .trim = Trim::kBoth},
     .alternates = true,
     .starts_with_bos = true,
     .bos = "<｜hy_begin▁of▁sentence｜>",
     .eos = "<｜hy_place▁holder▁no▁2｜>"},
    {.name = "hunyuan-moe",
     .marks =
         {"'<|startoftext|>'+content+'<|extra_0|>' || {{bos_token+message.content+'<|extra_0|>'}}",
          "{%elif message.role=='system'%}{%set content='<|startoftext|>'+content+'<|extra_4|>' || "
          "{%if ns.system_prompt!=''or tools%}{{'<|extra_4|>'}}{%endif%}"},
     .system = {"", "<|extra_4|>"},
     .skips_empty_system = true,
     .user = {"{bos}", "<|extra_0|>"},
     .assistant = {"", "{eos}"},
     .thought = {.end = "<answer>", .answer_end = "</answer>", .trim = Trim::kBoth},
     .alternates = true,
     .starts_with_bos = true,
     .bos = "<|startoftext|>",
     .eos = "<|eos|>"},
    {.name = "deepseek-v3.1",
     .marks = {DEEPSEEK_USER, "{{bos_token}}{{ns.system_prompt}}",
               "{{'<think></think>'}}{%else%}{{'<think>'}}{%endif%}{%endif%}$"},
     .user = {"<｜User｜>"},
     .assistant = {"<｜Assistant｜><think></think>", "<｜end▁of▁sentence｜>"},
     .thought = {.end = "</think>"},
     .answer = "<｜Assistant｜><think></think>",
     .alternates = true,
     .starts_with_bos = true,
     .bos = "<｜begin▁of▁sentence｜>",
     .eos = "<｜end▁of▁sentence｜>"},
    {.name = "deepseek-r1-0528",
     .marks = {DEEPSEEK_0324_USER, "{{bos_token}}{{ns.system_prompt}}",
               "content.split('</think>')[-1]", DEEPSEEK_0324_END},
     .user = {"<｜User｜>", "<｜Assistant｜>"},
     .assistant = {"", "<｜end▁of▁sentence｜>"},
     .thought = kThinkTags,
     .alternates = true,
     .starts_with_bos = true,
     .bos = "<｜begin▁of▁sentence｜>",
     .eos = "<｜end▁of▁sentence｜>"},
    {.name = "deepseek-v3-0324",
     .marks = {DEEPSEEK_0324_USER, "{{bos_token}}{{ns.system_prompt}}", "!</think>",
               DEEPSEEK_0324_END},
     .user = {"<｜User｜>", "<｜Assistant｜>"},
     .assistant = {"", "<｜end▁of▁sentence｜>"},
     .alternates = true,
     .starts_with_bos = true,
     .bos = "<｜begin▁of▁sentence｜>",
     .eos = "<｜end▁of▁sentence｜>"},
    {.name = "deepseek-r1",
     .marks = {DEEPSEEK_USER, "{{bos_token}}{{ns.system_prompt}}", "content.split('</think>')[-1]",
               DEEPSEEK_END("<think>\n")},
     .user = {"<｜User｜>"},
     .assistant = {"<｜Assistant｜>", "<｜end▁of▁sentence｜>"},
     .thought = kThinkTags,
     .answer = "<｜Assistant｜><think>\n",
     .starts_with_bos = true,
     .bos = "<｜begin▁of▁sentence｜>",
     .eos = "<｜end▁of▁sentence｜>"},
    {.name = "deepseek-r1-early",
     .marks = {DEEPSEEK_USER, "{{bos_token}}{{ns.system_prompt}}", "content.split('</think>')[-1]",
               DEEPSEEK_END("")},
     .user = {"<｜User｜>"},
     .assistant = {"<｜Assistant｜>", "<｜end▁of▁sentence｜>"},
     .thought = kThinkTags,
     .answer = "<｜Assistant｜>",
     .starts_with_bos = true,
     .bos = "<｜begin▁of▁sentence｜>",
     .eos = "<｜end▁of▁sentence｜>"},
    {.name = "deepseek-v3",
     .marks = {DEEPSEEK_USER, "{{bos_token}}{{ns.system_prompt}}", "!</think>", DEEPSEEK_END("")},
     .user = {"<｜User｜>"},
     .assistant = {"<｜Assistant｜>", "<｜end▁of▁sentence｜>"},
     .answer = "<｜Assistant｜>",
     .starts_with_bos = true,
     .bos = "<｜begin▁of▁sentence｜>",
     .eos = "<｜end▁of▁sentence｜>"},
    {.name = "deepseek-v2.5",
     .marks = {"{{'<｜User｜>'+message.content}}",
               "{{'<｜Assistant｜>'+message.content+eos_token}}", "{{message.content+'\n\n'}}",
               END("'<｜Assistant｜>'")},
     .system = {"", "\n\n"},
     .user = {"<｜User｜>"},
     .assistant = {"<｜Assistant｜>", "{eos}"},
     .answer = "<｜Assistant｜>",
     .later_system = true,
     .starts_with_bos = true,
     .bos = "<｜begin▁of▁sentence｜>",
     .eos = "<｜end▁of▁sentence｜>"},
    {.name = "deepseek-v2",
     .marks = {"{{'User: '+message.content+'\n\n'}}", "{{'Assistant: '+message.content+eos_token}}",
               "{{message.content+'\n\n'}}", END("'Assistant:'")},
     .system = {"", "\n\n"},
     .user = {"User: ", "\n\n"},
     .assistant = {"Assistant: ", "{eos}"},
     .answer = "Assistant:",
     .later_system = true,
     .starts_with_bos = true,
     .bos = "<｜begin▁of▁sentence｜>",
     .eos = "<｜end▁of▁sentence｜>"},
    {.name = "deepseek-coder",
     .marks = {"{%if not ns.found%}{{'You are an AI programming assistant, utilizing the Deepseek",
               "{{'### Instruction:\n'+message.content+'\n'}}",
               "{{'### Response:\n'+message.content+'\n<|EOT|>\n'}}",
               "{%if add_generation_prompt%}{{'### Response:'}}\n{%endif%}$"},
     .default_open = "{%if not ns.found%}{{'",
     .user = {"### Instruction:\n", "\n"},
     .assistant = {"### Response:\n", "\n<|EOT|>\n"},
     .answer = "### Response:\n",
     .starts_with_bos = true,
     .bos = "<｜begin▁of▁sentence｜>",
     .eos = "<|EOT|>"},
    {.name = "kimi-k2",
     .marks = {"!<think>", "{%set role_name=message.get('name')or message.role%}",
               "{%if message.role=='user'%}<|im_user|>{{role_name}}<|im_middle|>", KIMI_END},
     .system = kKimiSystem,
     .default_open = KIMI_DEFAULT,
     .default_close = "<|im_end|>\n",
     .user = kKimiUser,
     .assistant = kKimiAssistant,
     .answer = kKimiAssistant.open,
     .later_system = true},
    {.name = "moonlight",
     .marks = {KIMI_DEFAULT "You are a helpful assistant<|im_end|>{%endif%}", KIMI_END, "!<think>"},
     .system = kKimiSystem,
     .default_open = KIMI_DEFAULT,
     .default_close = "<|im_end|>",
     .user = kKimiUser,
     .assistant = kKimiAssistant,
     .answer = kKimiAssistant.open,
     .later_system = true},
    {.name = "olmo2",
     .marks = {"{{'<|system|>\n'+message.content+'\n'}}", "{{'<|user|>\n'+message.content+'\n'}}",
               "{{'<|assistant|>\n'+message.content+eos_token+'\n'}} || "
               "{{'<|assistant|>\n'+message.content}}",
               LOOP_END("'<|assistant|>\n'") "$" OR LOOP_END("'<|assistant|>\n'") "{%endif%}$"},
     .system = {"<|system|>\n", "\n"},
     .user = {"<|user|>\n", "\n"},
     .assistant = {"<|assistant|>\n", "{eos}\n"},
     .answer = "<|assistant|>\n",
     .later_system = true,
     .eos = "<|endoftext|>"},
    {.name = "zephyr",
     .marks =
         {"{{'<|user|>\n'+message.content+eos_token}}\n",
          "{{'<|system|>\n'+message.content+eos_token}}\n",
          "{%if loop.last and add_generation_prompt%}{{'<|assistant|>'}}\n{%endif%}{%endfor%}$"},
     .system = {"<|system|>\n", "{eos}\n"},
     .user = {"<|user|>\n", "{eos}\n"},
     .assistant = {"<|assistant|>\n", "{eos}\n"},
     .answer = "<|assistant|>\n",
     .later_system = true},
};

// Marks of templates that use a family's tokens and say more with them: agents that list their
// functions, pictures.
constexpr absl::string_view kStrangersMarks[] = {
    "<end_of_utterance>", "function calling AI model", "recipient",
    "functools",          "[BEGIN FINAL RESPONSE]",    "<|vision_start|>"};

bool HasMark(absl::string_view normal_text, absl::string_view mark) {
  const bool is_wanted = !absl::ConsumePrefix(&mark, "!");
  const std::vector<absl::string_view> choices = absl::StrSplit(mark, " || ");
  const bool has =
      std::any_of(choices.begin(), choices.end(), [normal_text](absl::string_view choice) {
        const bool is_end = absl::ConsumeSuffix(&choice, "$");
        return is_end ? absl::EndsWith(normal_text, choice)
                      : absl::StrContains(normal_text, choice);
      });
  return has == is_wanted;
}

}  // namespace

const ChatFamily* FindChatFamily(absl::string_view name) {
  for (const ChatFamily& family : kFamilies) {
    if (name == family.name) return &family;
  }
  return nullptr;
}

const ChatFamily* RecognizeChatFamily(absl::string_view normal_text) {
  const auto has = [normal_text](absl::string_view mark) { return HasMark(normal_text, mark); };
  if (std::any_of(std::begin(kStrangersMarks), std::end(kStrangersMarks), has)) return nullptr;
  for (const ChatFamily& family : kFamilies) {
    const auto* end = std::find(std::begin(family.marks), std::end(family.marks), nullptr);
    if (std::all_of(std::begin(family.marks), end, has)) return &family;
  }
  return nullptr;
}

std::vector<std::string> ChatFamilyNames() {
  std::vector<std::string> names;
  for (const ChatFamily& family : kFamilies) names.push_back(family.name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace baton
