"""Values to text: nothing here prints, and nothing from outside gets through unescaped."""
