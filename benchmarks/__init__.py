"""How fast Sektor is, and how much memory it takes, beside what else there is: commands, see README.md here."""
