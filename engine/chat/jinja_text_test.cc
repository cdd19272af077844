#include "engine/chat/jinja_text.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(NormalizeJinjaTest, OneSpelling) {
  for (const char* text :
       {"{% if a %}{{ '<s>' + message['role'] + '\n' }}{% endif %}",
        "{%- if  a -%}\n  {{- \"<s>\" + message[\"role\"] + \"\\n\" -}}\n{%- endif -%}",
        "{% if a %}\n{{'<' + 's>' + message.role + '\\n'}}{# says it all #}{% endif %}\n"}) {
    EXPECT_EQ(NormalizeJinja(text), "{%if a%}{{'<s>'+message.role+'\n'}}{%endif%}") << text;
  }
}

TEST(NormalizeJinjaTest, WhiteSpaceThatIsWritten) {
  // A line feed after a statement is none, after a value it is one; so are blanks within a line.
  EXPECT_EQ(NormalizeJinja("{% if a %}\n{{ b }}\n  {% endif %}"), "{%if a%}{{b}}\n{%endif%}");
  EXPECT_EQ(NormalizeJinja("  {% if a %} b {% endif %}\n\nc"), "{%if a%} b {%endif%}\nc");
  EXPECT_EQ(NormalizeJinja("a {{- b -}} c {#- d -#} e"),
            "a{{b}}c"
            "e");
}

TEST(NormalizeJinjaTest, StringsStayAsTheyRead) {
  EXPECT_EQ(NormalizeJinja(R"({{ 'it\'s' + "a  'b'" }})"), "{{'it'sa  'b''}}");
  EXPECT_EQ(NormalizeJinja(R"({{ 'a\\nb %} }}' }})"), R"({{'a\nb %} }}'}})");
}

TEST(NormalizeJinjaTest, WhatIsNoJinjaEnds) {
  EXPECT_EQ(NormalizeJinja(""), "");
  EXPECT_EQ(NormalizeJinja("{"), "{");
  EXPECT_EQ(NormalizeJinja("{{"), "{{}}");
  EXPECT_EQ(NormalizeJinja("{{ 'a"), "{{'a'}}");
  EXPECT_EQ(NormalizeJinja("{{ 'a\\"), "{{'a\\'}}");
  EXPECT_EQ(NormalizeJinja("a{#"), "a");
  EXPECT_EQ(NormalizeJinja("{%-"), "{%%}");
}

}  // namespace
}  // namespace baton
