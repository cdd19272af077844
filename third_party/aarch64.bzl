"""Debian's cross compiler for 64-bit ARM as a Bazel toolchain, with the libraries that it links.

`bazel test --config=aarch64` runs the engine's tests in QEMU. The libraries are unpacked here and
not installed: two architectures of one development package can't always stand side by side.
"""

_PACKAGES = ["libabsl-dev", "libgmock-dev", "libgtest-dev", "libssl-dev"]

def _run(ctx, command):
    result = ctx.execute(command)
    if result.return_code != 0:
        fail("%s: %s" % (" ".join([str(word) for word in command]), result.stderr.strip()))

def _debian_aarch64_impl(ctx):
    for program, package in [
        ("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"),
        ("qemu-aarch64", "qemu-user"),
        ("apt-get", "apt"),
    ]:
        if not ctx.which(program):
            fail("There is no %s: apt-get install %s" % (program, package))

    # apt for another architecture, with lists of its own: the system's stay as they are.
    ctx.file("apt/lists/partial/.keep")
    ctx.file("apt/archives/partial/.keep")
    apt = [
        "apt-get",
        "--quiet=2",
        "--option=APT::Architecture=arm64",
        "--option=APT::Architectures::=arm64",
        "--option=APT::Sandbox::User=",
        "--option=Acquire::Retries=3",
        "--option=Dir::State=%s" % ctx.path("apt"),
        "--option=Dir::State::status=/dev/null",
        "--option=Dir::Cache=%s" % ctx.path("apt"),
    ]
    _run(ctx, apt + ["update"])
    _run(ctx, apt + ["download"] + _PACKAGES)
    for package in ctx.path(".").readdir():
        if package.basename.endswith(".deb"):
            _run(ctx, ["dpkg-deb", "--extract", package, "."])
            ctx.delete(package)
    ctx.delete("apt")
    ctx.symlink(ctx.attr.build_file, "BUILD.bazel")

debian_aarch64 = repository_rule(
    attrs = {"build_file": attr.label(default = "//third_party:BUILD.aarch64")},
    implementation = _debian_aarch64_impl,
)
