"""What a fitted policy forbids and reviews in any workspace, as data.

Invariants:
- Globs are as ``governance/matching.py`` reads them: without ``/`` a file name at any depth, with a trailing ``/``
  everything below a directory.
- A name stands here because of what it can do when somebody builds, installs, tests or deploys the project. What
  acts without anybody deciding to run it is escalated under every policy (``governance/governed.py``) and not
  repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Category:
    """A named kind of path that is reviewed, its risk, and why."""

    name: str
    risk: str
    about: str
    globs: tuple[str, ...]
    except_globs: tuple[str, ...] = ()
    except_version_bumps: bool = False


FORBIDDEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Secrets and keys: they do not belong in a change.",
        (
            ".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", "!.env.dist", ".netrc", ".pgpass",
            ".git-credentials", ".pypirc", ".htpasswd", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore",
            "*.kdbx", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".ssh/", ".gnupg/", ".aws/", ".kube/",
            "**/.docker/config.json",
        ),
    ),
    (
        "Installed and generated trees: tools write those, changes do not.",
        (
            "node_modules/", ".venv/", "__pycache__/", "*.pyc", "*.pyo", ".tox/", ".nox/", ".mypy_cache/",
            ".pytest_cache/", ".eggs/", "*.egg-info/",
        ),
    ),
    ("Code that an interpreter runs unasked.", ("*.pth", "sitecustomize.py", "usercustomize.py")),
)  # fmt: skip

CATEGORIES: tuple[Category, ...] = (
    Category(
        "dependencies",
        "MEDIUM",
        "What gets installed, and from where.",
        (
            "*requirements*.{txt,in}", "requirements/**", "constraints*.txt", "Pipfile", "*.lock", "pylock*.toml",
            "uv.toml", "environment.{yml,yaml}", "package.json", "package-lock.json", "npm-shrinkwrap.json",
            "pnpm-lock.yaml", "pnpm-workspace.yaml", "bun.lockb", ".npmrc", ".yarnrc*", "go.{mod,sum,work}",
            "go.work.sum", "Cargo.toml", "Gemfile", "*.gemspec", "composer.json", "pom.xml",
            "{build,settings}.gradle{,.kts}", "*.csproj", "packages.config", "mix.exs", "rebar.config", "Package.swift",
            "Package.resolved", "flake.nix", "vendor.txt", "deps.edn", "project.clj", "build.sbt",
        ),
        ("**/{testdata,test_data,fixtures,__fixtures__}/**", "**/{test,tests}/data/**"),
        except_version_bumps=True,
    ),
    Category(
        "build",
        "MEDIUM",
        "Runs on the machine of whoever builds, installs, tests or deploys the project.",
        (
            "pyproject.toml", "setup.{py,cfg}", "tox.ini", "noxfile.py", "{,.}pytest.{ini,toml}",
            ".coveragerc", "{GNUmakefile,Makefile,makefile}", "*.mk", "{,.}justfile", "Taskfile.{yml,yaml}",
            "CMakeLists.txt", "*.cmake", "configure", "configure.ac", "meson.build", "build.rs",
            "{SConstruct,Rakefile}",
            "{BUILD,WORKSPACE,MODULE}{,.bazel}", "*.bzl", "Dockerfile*", "*.dockerfile", "Containerfile*",
            "{docker-,}compose*.{yml,yaml}", "Procfile", "Vagrantfile", "*.{service,timer,socket}", "{,*.}crontab",
            "**/cron.d/**", "{jest,vitest,babel,webpack,vite,rollup,karma,playwright,cypress,eslint}.config.*",
            ".eslintrc*", ".babelrc*", ".mocharc*", "{Gruntfile,gulpfile,Jakefile}*", "install.sh", "*.tf", "*.tfvars",
        ),
        except_version_bumps=True,
    ),
    Category(
        "security",
        "HIGH",
        "Who may do what.",
        (
            "**/secrets/**", "**/policies/*.rego", "authorized_keys", "sudoers",
            "**/sudoers.d/**",
        ),
    ),
)  # fmt: skip
