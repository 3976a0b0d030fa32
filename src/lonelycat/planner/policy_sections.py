"""What a fitted policy forbids and reviews in any workspace, as data.

Invariants:
- Globs are as ``governance/matching.py`` reads them: without ``/`` a file name at any depth, with a trailing ``/``
  everything below a directory.
- A name stands here because of what it can do when somebody opens, builds, installs or tests the project.
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


FORBIDDEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Secrets and keys: they do not belong in a change.", (
        ".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", "!.env.dist", ".netrc", ".pgpass",
        ".git-credentials", ".pypirc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "id_rsa", "id_dsa",
        "id_ecdsa", "id_ed25519", ".ssh/", ".gnupg/", ".aws/", ".kube/",
    )),
    ("Installed and generated trees: tools write those, changes do not.", (
        "node_modules/", ".venv/", "__pycache__/", "*.pyc", ".tox/", ".nox/", ".mypy_cache/", ".pytest_cache/",
    )),
    ("Code that an interpreter runs unasked.", ("*.pth", "sitecustomize.py", "usercustomize.py")),
)  # fmt: skip

CATEGORIES: tuple[Category, ...] = (
    Category("policies", "CRITICAL", "What judges every change.", ("agent/policies/**", "agent/workflows/**")),
    Category(
        "agents",
        "HIGH",
        "Configuration and instructions that coding agents and editors obey.",
        (
            ".claude/", ".codex/", ".cursor/", ".gemini/", ".windsurf/", ".aider*", ".continue/", ".roo/",
            ".amazonq/",
            ".vscode/", ".idea/", ".devcontainer/", ".zed/", ".mcp.json", "mcp.json", ".cursorrules",
            ".windsurfrules",
            ".clinerules", "AGENTS.md", "AGENT.md", "CLAUDE.md", "GEMINI.md", ".github/copilot-instructions.md",
            ".github/instructions/**", ".github/prompts/**", "*.code-workspace",
        ),
    ),
    Category(
        "ci",
        "HIGH",
        "Runs on other machines, with credentials.",
        (
            ".github/workflows/**", ".github/actions/**", ".github/dependabot.y{a,}ml", ".gitlab-ci.y{a,}ml",
            ".gitlab/",
            ".circleci/", ".buildkite/", ".travis.y{a,}ml", "{.,}appveyor.y{a,}ml", "azure-pipelines*.y{a,}ml",
            "Jenkinsfile", ".cirrus.y{a,}ml", ".drone.y{a,}ml", "bitbucket-pipelines.yml", ".woodpecker/",
            ".forgejo/",
            ".gitea/", ".readthedocs.y{a,}ml",
        ),
    ),
    Category(
        "dependencies",
        "MEDIUM",
        "What gets installed, from where.",
        (
            "requirements*.txt", "requirements*.in", "requirements/**", "constraints*.txt", "Pipfile", "*.lock",
            "package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "bun.lockb",
            "pnpm-workspace.yaml",
            "go.mod", "go.sum", "go.work", "Cargo.toml", "Gemfile", "*.gemspec", "composer.json", "pom.xml",
            "build.gradle", "build.gradle.kts", "environment.y{a,}ml", ".npmrc", ".yarnrc*", "pip.conf",
            "pip.ini", "uv.toml",
            ".cargo/", "pylock*.toml", ".gitmodules", ".pip/",
        ),
    ),
    Category(
        "build",
        "MEDIUM",
        "Runs on the machine of whoever builds, installs, tests or opens the project.",
        (
            "pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "tox.ini", "noxfile.py", "pytest.ini",
            ".pytest.ini",
            "conftest.py", ".coveragerc", "Makefile", "GNUmakefile", "makefile", "*.mk", "justfile",
            "Taskfile.y{a,}ml",
            "CMakeLists.txt", "build.rs", "Dockerfile*", "*.dockerfile", "Containerfile*",
            "{docker-,}compose*.y{a,}ml",
            "Procfile", ".pre-commit-config.y{a,}ml", ".pre-commit-hooks.y{a,}ml", ".husky/", ".githooks/",
            "git-hooks/",
            ".gitattributes", ".gitconfig", ".envrc", ".bashrc", ".bash_profile", ".profile", ".zshrc",
            "crontab", "*.service",
            "*.timer", "jest.config.*", "vitest.config.*", "babel.config.*", "webpack.config.*", "vite.config.*",
            "rollup.config.*", ".eslintrc*", "eslint.config.*", ".mocharc*", "Gruntfile*", "gulpfile*", "Rakefile",
        ),
    ),
    Category(
        "security",
        "HIGH",
        "Who may do what, and how trouble is reported.",
        ("CODEOWNERS", "SECURITY.md", ".github/SECURITY.md", "**/secrets/**", "*.tf", "*.tfvars"),
    ),
)  # fmt: skip
