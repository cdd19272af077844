"""What OpenAI's own client makes of a server, for test_http.py: exit code 0 when all is well.

    openai_client.py BASE_URL    in the environment of tests/fetch-oracles
"""

import sys

import openai


def main(base_url):
    client = openai.OpenAI(base_url=base_url, api_key="any", max_retries=0)
    model = client.models.list().data[0].id
    assert client.models.retrieve(model).id == model
    question = {"model": model, "temperature": 0, "max_tokens": 12,
                "messages": [{"role": "system", "content": "Be brief."},
                             {"role": "user", "content": "Who are you?"}]}

    whole = client.chat.completions.create(**question)
    assert whole.choices[0].message.role == "assistant"
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens

    chunks = list(client.chat.completions.create(**question, stream=True,
                                                 stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content, (text, whole)
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens

    several = client.chat.completions.create(**{**question, "temperature": 1}, n=3, seed=1,
                                             logprobs=True, top_logprobs=2)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    token = several.choices[0].logprobs.content[0]
    assert len(token.top_logprobs) == 2 and bytes(token.bytes) == token.token.encode()

    completion = client.completions.create(model=model, prompt=["Once", "Twice"], max_tokens=5,
                                           temperature=0, logprobs=1)
    assert [choice.index for choice in completion.choices] == [0, 1]
    pieces = client.completions.create(model=model, prompt="Once", max_tokens=5, temperature=0,
                                       stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == completion.choices[0].text

    for wrong in ({"tools": [{"type": "function", "function": {"name": "x"}}]},
                  {"max_tokens": -7}):
        try:
            client.chat.completions.create(**{**question, **wrong})
        except openai.BadRequestError as error:
            assert error.param == next(iter(wrong)), error
        else:
            raise AssertionError(f"{wrong} was taken")


if __name__ == "__main__":
    main(sys.argv[1])
